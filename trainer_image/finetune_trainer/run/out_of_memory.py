"""Running out of memory: what counts as that, what takes less, and what is reported where nothing does.

Where a GPU's memory is not enough, a run goes on from its newest checkpoint with a smaller batch plan (`smaller`): alone, a
process loads its model again and tries at once. One of several cannot: the others are within the step, and wait for it in
vain. So it writes the batch plan to the output, as a hint for the next attempt, and ends.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError, causes
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.engines.registry import ENGINES
from finetune_trainer.run.hint import write_hint
from finetune_trainer.run.memory_estimate import estimate_memory, sizes_of
from finetune_trainer.settings.batch_plan import BatchPlan, describe
from finetune_trainer.storage.output import Output

_GPU_IS_FULL = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""Messages of CUDA and its libraries where it was not torch's own allocator that found no memory."""
_GIB = 2**30


@dataclass(frozen=True)
class Shortage:
    """A GPU ran out of memory. Holds no frames, and with them nothing of what fills the memory."""

    message: str
    """CUDA's own words, with the sizes."""
    evaluating: bool
    """Whether an evaluation ran out of memory, and not the training."""


def gpu_shortage(error: BaseException) -> str | None:
    """Return the message where the memory of a GPU was not enough; None if that is not the cause of `error`."""
    for cause in causes(error):
        text = str(cause)
        if isinstance(cause, torch.OutOfMemoryError) or any(words in text for words in _GPU_IS_FULL):
            return text
    return None


def is_memory_shortage(error: BaseException) -> bool:
    """Return whether memory, of a GPU or of the CPU, is the cause of `error`."""
    return gpu_shortage(error) is not None or _host_shortage(error) is not None


def _host_shortage(error: BaseException) -> BaseException | None:
    """Return the cause of `error` that means that the CPU's memory was not enough."""
    for cause in causes(error):
        text = str(cause)
        if isinstance(cause, MemoryError) or "can't allocate memory" in text or "not enough memory" in text:
            return cause
    return None


def release_memory() -> None:
    """Give back what a model took that nothing holds any more."""
    gc.collect()
    torch.cuda.empty_cache()


def smaller_batch(shortage: Shortage, prepared: Prepared, output: Output) -> BatchPlan:
    """Return the batch plan to go on with, where this process trains alone.

    Raises:
        TrainerError: SMALLER_BATCHES in one of several processes: the next attempt begins with the hint in `output`;
            OUT_OF_MEMORY when nothing is left to try, with the sizes that decide about it.
    """
    plan = prepared.plan
    can_checkpoint = (
        ENGINES[plan.config.training.engine].supports("activation_checkpointing")
        and prepared.model.supports_gradient_checkpointing
    )
    less = smaller(plan.batch, shortage.evaluating, can_checkpoint)
    if less is None:
        raise _nothing_smaller(shortage, prepared)
    if plan.world_size > 1:
        write_hint(output, less)
        raise TrainerError(
            ExitCode.SMALLER_BATCHES,
            Reason.CUDA_OUT_OF_MEMORY,
            f"the GPU's memory is not enough: {_first_line(shortage.message)}",
            f"another attempt goes on from the newest checkpoint with {describe(plan.batch, less)}",
        )
    return less


def smaller(batch: BatchPlan, evaluating: bool, can_checkpoint: bool = True) -> BatchPlan | None:
    """Return a batch plan that takes less memory; None when nothing is left to try.

    A batch is halved; one of odd size is divided by its smallest factor, so that a step keeps exactly its rows.

    Args:
        evaluating: Whether an evaluation ran out of memory, and not the training.
        can_checkpoint: Whether the engine can compute activations again.
    """
    if evaluating:
        size = batch.evaluation_batch_size // 2
        return replace(batch, evaluation_batch_size=size) if size else None
    if batch.batch_size > 1:
        factor = next(number for number in range(2, batch.batch_size + 1) if batch.batch_size % number == 0)
        return replace(batch, batch_size=batch.batch_size // factor, accumulation=batch.accumulation * factor)
    return (
        replace(batch, activation_checkpointing=True) if can_checkpoint and not batch.activation_checkpointing else None
    )


def _nothing_smaller(shortage: Shortage, prepared: Prepared) -> TrainerError:
    """Return the failure of a run whose batches are of 1 row."""
    sizes, longest = sizes_of(prepared.model), max(prepared.data.train.lengths)
    estimate = estimate_memory(sizes, prepared.plan, longest).total
    checkpointing = prepared.plan.batch.activation_checkpointing
    how = " in the evaluation" if shortage.evaluating else " with activation checkpointing" if checkpointing else ""
    size = _gpu_size()
    where = f"{size} are" if size else "the GPU's memory is"
    return TrainerError(
        ExitCode.OUT_OF_MEMORY,
        Reason.CUDA_OUT_OF_MEMORY,
        f"{where} not enough, not even for batches of 1 row{how}: {_first_line(shortage.message)}",
        f"{sizes.parameters:,} parameters, {sizes.trained:,} of them trained, with 1 row of {longest} tokens take about "
        f"{estimate / _GIB:.1f} GiB: lower preprocessing.maxLength, train an adapter (training.lora), spread the "
        "model over more GPUs (training.parallelism: fsdp), or take a larger GPU or a smaller model",
    )


@contextmanager
def memory_failures(config: RunConfig) -> Iterator[None]:
    """Raise what torch and Python raise for want of memory as OUT_OF_MEMORY."""
    try:
        yield
    except Exception as error:
        if failure := _explain(error, config):
            raise failure from error
        raise


def _explain(error: BaseException, config: RunConfig) -> TrainerError | None:
    if found := gpu_shortage(error):
        where = _gpu_size() or "the GPU's memory"
        message = f"{where} is not enough: {_first_line(found)}"
        return _failure(Reason.CUDA_OUT_OF_MEMORY, message, config)
    if cause := _host_shortage(error):
        text = str(cause)
        return _failure(
            Reason.OUT_OF_MEMORY, f"the memory is not enough: {text.splitlines()[0] if text else cause!r:.300}", config
        )
    return None


def _failure(reason: Reason, message: str, config: RunConfig) -> TrainerError:
    size, length = config.training.batch_size, config.preprocessing.max_length
    hint = (
        f"a smaller training.batchSize ({size} now) with more training.arguments.gradient_accumulation_steps, a "
        f"preprocessing.maxLength below {length or 'that of the model'}, or training.arguments.activation_checkpointing: true"
    )
    return TrainerError(ExitCode.OUT_OF_MEMORY, reason, message, hint)


def _gpu_size() -> str | None:
    """Return the size of the GPU's memory, in words; None without one."""
    if not torch.cuda.is_available():
        return None
    return f"the GPU's {torch.cuda.get_device_properties(0).total_memory / _GIB:.0f} GiB"


def _first_line(message: str) -> str:
    return message.splitlines()[0][:300]
