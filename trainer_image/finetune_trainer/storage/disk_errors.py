"""Failures of writing on this machine: no space, no permission, or a broken disk."""

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, output_error

NO_SPACE = ("no space left", "disk quota exceeded")
"""Of libraries that wrap the system's errors in classes of their own."""
_TORCH_WRITER = ("inline_container", "pytorchstreamwriter")
_PROBE_BYTES = 1 << 20


def _probe(folder: Path) -> OSError | None:
    """Return why nothing can be written: torch hides it; its half-written file is still there, so writing more shows it."""
    path = folder / f".probe-{uuid.uuid4().hex}"
    try:
        path.write_bytes(bytes(_PROBE_BYTES))
    except OSError as error:
        return error
    finally:
        path.unlink(missing_ok=True)
    return None


@contextmanager
def output_failures(folder: Path) -> Iterator[None]:
    """Raise whatever goes wrong while something is written below `folder` as a failure of the output."""
    try:
        yield
    except TrainerError:
        raise
    except Exception as error:  # safetensors and torch wrap the system's errors in classes of their own
        text = str(error).lower()
        cause = _probe(folder) if any(words in text for words in _TORCH_WRITER) else error
        number = cause.errno if isinstance(cause, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT) or any(words in text for words in NO_SPACE):
            raise output_error(
                Reason.OUTPUT_FULL,
                f"no space is left in {folder}",
                "give it more room (of a pod output.size, or for a bucket or the Hub a node with more disk), or lower checkpoints.keep",
            ) from error
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise output_error(
                Reason.OUTPUT_NOT_WRITABLE,
                f"{folder} cannot be written: {cause}",
                "let the user that the trainer runs as write there, or choose another output.uri",
            ) from error
        if number is not None:
            raise output_error(Reason.OUTPUT_FAILED, f"writing to {folder} failed: {cause}") from error
        raise
