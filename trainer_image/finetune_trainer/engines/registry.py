"""The engines, one row each, by the names that training.engine has (`finetune_api.training.Engine`)."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Final

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


def make_engine(prepared: Prepared, events: TrainingEvents) -> Engine:
    """Make the engine that training.engine names. Its module is imported only now.

    Raises:
        TrainerError: BAD_CONFIGURATION or MODEL, where it cannot train such a model as the settings ask for.
    """
    module = import_module(ENGINES[prepared.plan.config.training.engine].module)
    engine: Engine = module.Engine(prepared, events)
    return engine
