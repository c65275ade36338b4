"""How much memory is free, and running out of it told with the sizes that decide about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError, causes
from finetune_trainer.base.hardware import available_memory
from finetune_trainer.settings.device import Device

_GPU_IS_FULL = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What CUDA and its libraries say where it was not torch's own allocator that found no memory."""


def free_memory(device: Device, processes: int) -> int | None:
    """Bytes that one of `processes` on this machine can still take: of its GPU's memory, or as its share of the CPU's.

    None where nothing is known of it.
    """
    if not device.here:
        return None
    if device.gpu:
        return int(torch.cuda.mem_get_info()[0])
    free = available_memory()
    return None if free is None else free // processes


@contextmanager
def memory_failures(config: RunConfig) -> Iterator[None]:
    """Tell what torch and Python raise for want of memory as OUT_OF_MEMORY."""
    try:
        yield
    except Exception as error:
        if failure := explain_memory(error, config):
            raise failure from error
        raise


def gpu_shortage(error: BaseException) -> str | None:
    """What was said where the memory of a GPU was not enough; None if that is not the cause of `error`."""
    for cause in causes(error):
        text = str(cause)
        if isinstance(cause, torch.OutOfMemoryError) or any(words in text for words in _GPU_IS_FULL):
            return text
    return None


def explain_memory(error: BaseException, config: RunConfig) -> TrainerError | None:
    """The failure, if memory is the cause."""
    if said := gpu_shortage(error):
        size = torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else 0
        where = f"the GPU's {size:.0f} GiB" if size else "the GPU's memory"
        return _failure(Reason.CUDA_OUT_OF_MEMORY, f"{where} is not enough: {said.splitlines()[0]:.300}", config)
    if cause := _host_shortage(error):
        text = str(cause)
        return _failure(
            Reason.OUT_OF_MEMORY, f"the memory is not enough: {text.splitlines()[0] if text else cause!r:.300}", config
        )
    return None


def is_memory_shortage(error: BaseException) -> bool:
    """Whether memory, of a GPU or of the CPU, is the cause of `error`."""
    return gpu_shortage(error) is not None or _host_shortage(error) is not None


def _host_shortage(error: BaseException) -> BaseException | None:
    """Of the causes of `error` the one that says that the CPU's memory was not enough."""
    for cause in causes(error):
        text = str(cause)
        if isinstance(cause, MemoryError) or "can't allocate memory" in text or "not enough memory" in text:
            return cause
    return None


def _failure(reason: Reason, message: str, config: RunConfig) -> TrainerError:
    size, length = config.training.batch_size, config.preprocessing.max_length
    hint = (
        f"a smaller training.batchSize ({size} now) with more training.arguments.gradient_accumulation_steps, a "
        f"preprocessing.maxLength below {length or 'that of the model'}, or training.arguments.activation_checkpointing: true"
    )
    return TrainerError(ExitCode.OUT_OF_MEMORY, reason, message, hint)


@dataclass(frozen=True)
class Need:
    """What decides about the memory of a training that is as small as can be."""

    parameters: int
    trained: int
    """Parameters that are trained."""
    longest: int
    """Tokens in the longest row."""
    estimate: int
    """Bytes for one such row at a time."""


def nothing_smaller(said: str, evaluating: bool, checkpointing: bool, need: Need) -> TrainerError:
    """The failure of a run whose batches are of 1 row. `said` is what CUDA said."""
    size = torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else 0
    where = f"the GPU's {size:.0f} GiB are" if size else "the GPU's memory is"
    how = " in the evaluation" if evaluating else " with activation checkpointing" if checkpointing else ""
    return TrainerError(
        ExitCode.OUT_OF_MEMORY,
        Reason.CUDA_OUT_OF_MEMORY,
        f"{where} not enough, not even for batches of 1 row{how}: {said.splitlines()[0]:.300}",
        f"{need.parameters:,} parameters, {need.trained:,} of them trained, with 1 row of {need.longest} tokens take about "
        f"{need.estimate / 2**30:.1f} GiB: lower preprocessing.maxLength, train an adapter (training.lora), spread the "
        "model over more GPUs (training.parallelism: fsdp), or take a larger GPU or a smaller model",
    )


def left_for_next(said: str, change: str) -> TrainerError:
    """The failure of one of several processes, which ends so that the next attempt can begin with smaller batches."""
    return TrainerError(
        ExitCode.SMALLER_BATCHES,
        Reason.CUDA_OUT_OF_MEMORY,
        f"the GPU's memory is not enough: {said.splitlines()[0]:.300}",
        f"the next attempt goes on from the newest checkpoint with {change}",
    )
