"""Checks that the engine can do what is asked for, and is here, before anything is read."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from finetune_api.run import RunConfig
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.engines.registry import ENGINES


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
