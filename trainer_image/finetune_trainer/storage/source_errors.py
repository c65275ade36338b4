"""What goes wrong while a model or data is read, explained the same way for both: this machine's disk, the Hub, or its content."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, causes
from finetune_trainer.storage.disk_errors import NO_SPACE
from finetune_trainer.storage.hub_errors import Kind, explain_hub_error
from finetune_trainer.storage.shared_cache import shared_root
from finetune_trainer.storage.uris import is_hub_id

_FIELDS: dict[Kind, str] = {"model": "model.source", "data set": "dataset.source"}


@contextmanager
def source_failures(
    kind: Kind, source: str, revision: str, explain: Callable[[Exception], TrainerError]
) -> Iterator[None]:
    """Raise whatever goes wrong while a source is found or read as what it means.

    Args:
        explain: Returns the failure of the model or data itself, where neither the disk nor the Hub is the cause.
    """
    try:
        yield
    except (TrainerError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # each library has classes of its own
        failure = _cache_full(error, _FIELDS[kind], source)
        if failure is None and is_hub_id(source):
            failure = explain_hub_error(error, kind, source, revision)
        raise (failure or explain(error)) from error


def _cache_full(error: BaseException, field: str, source: str) -> TrainerError | None:
    """Return the failure where something could not be kept here for want of space; None for any other error.

    Nothing is wrong with the model or data then, and another node or time may do.
    """
    full = (errno.ENOSPC, errno.EDQUOT)
    if not any(
        (isinstance(each, OSError) and each.errno in full) or any(words in str(each).lower() for words in NO_SPACE)
        for each in causes(error)
    ):
        return None
    root = shared_root()
    return TrainerError(
        ExitCode.INTERNAL,
        Reason.CACHE_FULL,
        f"{field} {source}: no space is left {f'in the cache at {root}' if root else 'on the disk'} to keep it",
        "give the volume of the profile's cache more room"
        if root
        else "free some; of a pod it is the scratch space (defaults.scratch of the profile), or the disk of its node",
    )
