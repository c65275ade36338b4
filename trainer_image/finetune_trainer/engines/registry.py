"""The engines, one row each, by the names that training.engine has (`finetune_api.training.Engine`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from finetune_api.run import RunConfig
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.engines.engine import Engine, Prepared
from finetune_trainer.engines.keras import arguments as keras_arguments
from finetune_trainer.engines.pytorch_arguments import SUPPORTED as PYTORCH_SUPPORTED
from finetune_trainer.engines.supported_arguments import SupportedArguments
from finetune_trainer.progress.events import TrainingEvents


@dataclass(frozen=True)
class Registration:
    """What is known of an engine before its libraries are imported."""

    module: str
    """Module with a class `Engine` of the protocol `engine.Engine`, made of a Prepared and the TrainingEvents."""
    supported: SupportedArguments | None = None
    """What it supports of training.arguments; None for every field."""
    distributed: bool = True
    """Whether it trains on more than one device."""
    packages: tuple[str, ...] = ()
    """Packages that it alone needs; a run's provenance has their versions."""
    check: Callable[[bool], None] | None = None
    """Called with whether to train on the CPU; raises a TrainerError where the engine cannot train here."""

    def supports(self, argument: str) -> bool:
        """Return whether the engine supports a field of training.arguments."""
        return self.supported is None or argument in self.supported.names


ENGINES: Final[dict[str, Registration]] = {
    "trainer": Registration("finetune_trainer.engines.transformers_trainer"),
    "pytorch": Registration("finetune_trainer.engines.pytorch_loop", PYTORCH_SUPPORTED),
    "keras": Registration(
        "finetune_trainer.engines.keras.engine",
        keras_arguments.SUPPORTED,
        distributed=False,
        packages=("keras", "keras-hub"),
        check=keras_arguments.check_keras,
    ),
}


def is_installed(name: str) -> bool:
    """Return whether the packages that this engine alone needs are here."""
    return all(find_spec(package.replace("-", "_")) for package in ENGINES[name].packages)


def check_engine(
    config: RunConfig, arguments: Mapping[str, Any], use_cpu: bool, *, assume_installed: bool = False
) -> None:
    """Check that the engine can do what is asked for. Must come before `make_engine`.

    Args:
        arguments: training.arguments, as `check_arguments` returned them.
        assume_installed: An engine that is not installed here is taken as given: it is checked where it trains.

    Raises:
        TrainerError: BAD_CONFIGURATION, with the remedy.
    """
    name, devices = config.training.engine, config.nodes * config.processes
    engine = ENGINES[name]
    if engine.supported:
        engine.supported.check(arguments, name)
    if devices > 1 and not engine.distributed:
        others = " or ".join(f"'{other}'" for other, registered in ENGINES.items() if registered.distributed)
        raise bad_configuration(
            f"training.engine: {name} trains on one device, not on {devices}",
            f"use engine {others}, or one GPU on one node",
        )
    if engine.check and (is_installed(name) or not assume_installed):
        engine.check(use_cpu)


def make_engine(prepared: Prepared, events: TrainingEvents) -> Engine:
    """Make the engine that training.engine names. Its module is imported only now.

    Raises:
        TrainerError: BAD_CONFIGURATION or MODEL, where it cannot train such a model as the settings ask for.
    """
    module = import_module(ENGINES[prepared.plan.config.training.engine].module)
    engine: Engine = module.Engine(prepared, events)
    return engine
