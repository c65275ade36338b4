"""How much of a run is in a device's memory at a time.

The rows of an optimizer step stay the same, so that a run with less memory trains the same: in smaller parts, and slower.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import bad_configuration


@dataclass(frozen=True)
class BatchPlan:
    """Batches, for each device: what can be made smaller where memory is short."""

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
        """Return the metrics of its line in the history."""
        return {name: float(value) for name, value in asdict(self).items() if name != "processes" or value}

    @classmethod
    def from_settings(cls, batch_size: int, given: Mapping[str, Any]) -> "BatchPlan":
        """Return what the settings ask for.

        Args:
            given: training.arguments, as `arguments.check_arguments` returns them.
        """
        return cls(
            batch_size=batch_size,
            accumulation=given.get("gradient_accumulation_steps", 1),
            evaluation_batch_size=given.get("per_device_eval_batch_size", batch_size),
            activation_checkpointing=bool(given.get("activation_checkpointing", False)),
        )

    def to_arguments(self) -> dict[str, Any]:
        """The fields of TrainingArguments that it sets."""
        return {
            "per_device_train_batch_size": self.batch_size,
            "gradient_accumulation_steps": self.accumulation,
            "per_device_eval_batch_size": self.evaluation_batch_size,
            "activation_checkpointing": self.activation_checkpointing,
        }

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float]) -> "BatchPlan":
        """Read what `to_numbers` returned."""
        return cls(
            batch_size=int(numbers["batch_size"]),
            accumulation=int(numbers["accumulation"]),
            evaluation_batch_size=int(numbers["evaluation_batch_size"]),
            activation_checkpointing=bool(numbers["activation_checkpointing"]),
            processes=int(numbers.get("processes", 0)),
        )


def for_processes(plan: BatchPlan, before: int, now: int) -> BatchPlan:
    """Return the batch plan with the same rows in a step by `now` processes instead of `before`, and no more in the memory of each.

    Raises:
        TrainerError: BAD_CONFIGURATION where they cannot be dealt out evenly: the run would go on at other rows.
    """
    if before == now:
        return plan
    rows, rest = divmod(plan.batch_size * plan.accumulation * before, now)
    if rest:
        raise bad_configuration(
            f"resources: the checkpoint is of {in_processes(before)}, with {plan.batch_size * plan.accumulation * before} rows in a "
            f"step, which {in_processes(now)} cannot share evenly",
            f"go on with {in_processes(before)} (resources.gpus, resources.nodes and processesPerNode), or with a number that "
            "divides these rows, or start over with another output.uri",
            Reason.OTHER_PROCESSES,
        )
    size = next(size for size in range(min(plan.batch_size, rows), 0, -1) if rows % size == 0)
    return replace(plan, batch_size=size, accumulation=rows // size, processes=now)


def in_processes(count: int) -> str:
    """Return a number of processes in words."""
    return f"{count} process" if count == 1 else f"{count} processes"


def describe(before: BatchPlan, after: BatchPlan) -> str:
    """Describe for people what was changed from what to what."""
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
