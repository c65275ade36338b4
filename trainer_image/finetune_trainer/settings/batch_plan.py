"""How much of a run is in a device's memory at a time, and what to do when that was too much.

The rows of an optimizer step stay the same, so that a run with less memory trains the same: in smaller parts, and slower.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from finetune_api.run import RunConfig
from finetune_trainer.settings.arguments import check_arguments


@dataclass(frozen=True)
class Fit:
    """What can be made smaller. All for each device."""

    batch_size: int
    """Rows in a batch."""
    accumulation: int
    """Batches in an optimizer step."""
    evaluation_batch_size: int
    activation_checkpointing: bool
    """Compute activations again in the backward pass instead of keeping them."""
    processes: int = 0
    """How many the run has; 0 where they are as many as it began with."""

    def to_numbers(self) -> dict[str, float]:
        """As a line of the history holds it."""
        return {name: float(value) for name, value in asdict(self).items() if name != "processes" or value}

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float]) -> "Fit":
        """What `to_numbers` gave."""
        return cls(
            batch_size=int(numbers["batch_size"]),
            accumulation=int(numbers["accumulation"]),
            evaluation_batch_size=int(numbers["evaluation_batch_size"]),
            activation_checkpointing=bool(numbers["activation_checkpointing"]),
            processes=int(numbers.get("processes", 0)),
        )


def fit_of(config: RunConfig) -> Fit:
    """What the settings ask for."""
    arguments, batch_size = check_arguments(config.training.arguments), config.training.batch_size
    return Fit(
        batch_size=batch_size,
        accumulation=arguments.get("gradient_accumulation_steps", 1),
        evaluation_batch_size=arguments.get("per_device_eval_batch_size", batch_size),
        activation_checkpointing=bool(arguments.get("activation_checkpointing", False)),
    )


def fitted(config: RunConfig, fit: Fit) -> RunConfig:
    """The settings with what `fit` has otherwise than they ask for."""
    asked, changed = fit_of(config), check_arguments(config.training.arguments)
    if fit.accumulation != asked.accumulation:
        changed["gradient_accumulation_steps"] = fit.accumulation
    if fit.evaluation_batch_size != asked.evaluation_batch_size or fit.batch_size != asked.batch_size:
        changed["per_device_eval_batch_size"] = fit.evaluation_batch_size
    if fit.activation_checkpointing != asked.activation_checkpointing:
        changed["activation_checkpointing"] = fit.activation_checkpointing
    training = config.training.model_copy(update={"batch_size": fit.batch_size, "arguments": changed})
    return config.model_copy(update={"training": training})


def smaller(fit: Fit, evaluating: bool, can_checkpoint: bool = True) -> Fit | None:
    """What takes less memory; None when nothing is left to try.

    A batch is halved; one of odd size is divided by its smallest factor, so that a step keeps exactly its rows.

    Args:
        evaluating: Whether an evaluation ran out of memory, and not the training.
        can_checkpoint: Whether the engine can compute activations again.
    """
    if evaluating:
        size = fit.evaluation_batch_size // 2
        return replace(fit, evaluation_batch_size=size) if size else None
    if fit.batch_size > 1:
        factor = next(number for number in range(2, fit.batch_size + 1) if fit.batch_size % number == 0)
        return replace(fit, batch_size=fit.batch_size // factor, accumulation=fit.accumulation * factor)
    return replace(fit, activation_checkpointing=True) if can_checkpoint and not fit.activation_checkpointing else None


def for_processes(fit: Fit, before: int, now: int) -> Fit | None:
    """The same rows in a step by `now` processes instead of `before`, with no more in the memory of each.

    None where the rows cannot be dealt out evenly.
    """
    if before == now:
        return fit
    rows, rest = divmod(fit.batch_size * fit.accumulation * before, now)
    if rest:
        return None
    size = next(size for size in range(min(fit.batch_size, rows), 0, -1) if rows % size == 0)
    return replace(fit, batch_size=size, accumulation=rows // size, processes=now)


def in_processes(count: int) -> str:
    """So many processes, in words."""
    return f"{count} process" if count == 1 else f"{count} processes"


def describe(before: Fit, after: Fit) -> str:
    """What was changed from what to what."""
    if before.processes != after.processes:
        return (
            f"{in_processes(after.processes)}, batch size {before.batch_size} → {after.batch_size} on each device, "
            f"gradient accumulation {before.accumulation} → {after.accumulation}: a step has the same rows as before"
        )
    if before.batch_size != after.batch_size:
        return (
            f"batch size {before.batch_size} → {after.batch_size} on each device, gradient accumulation "
            f"{before.accumulation} → {after.accumulation}: a step has the same rows as before"
        )
    if before.evaluation_batch_size != after.evaluation_batch_size:
        return f"evaluation batch size {before.evaluation_batch_size} → {after.evaluation_batch_size} on each device"
    return "activation checkpointing off → on: activations are computed again instead of kept"
