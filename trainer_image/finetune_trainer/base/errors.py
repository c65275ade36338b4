"""How a run fails: an exit code, a reason for machines, a message that names the cause, and a remedy."""

import difflib
import errno
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from finetune_api.report import ExitCode


class TrainerError(Exception):
    """A failure that we can explain. Its reason is CamelCase, as reasons are in Kubernetes."""

    def __init__(self, exit_code: ExitCode, reason: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.reason = reason
        self.message = message
        self.hint = hint


class Stopped(BaseException):
    """The run was asked to stop. Like KeyboardInterrupt, no `except Exception` of a library may swallow it."""


def bad_configuration(message: str, hint: str | None = None, reason: str = "BadConfiguration") -> TrainerError:
    return TrainerError(ExitCode.BAD_CONFIGURATION, reason, message, hint)


def data_error(reason: str, message: str, hint: str | None = None) -> TrainerError:
    return TrainerError(ExitCode.DATA, reason, message, hint)


def model_error(reason: str, message: str, hint: str | None = None) -> TrainerError:
    return TrainerError(ExitCode.MODEL, reason, message, hint)


def output_error(reason: str, message: str, hint: str | None = None) -> TrainerError:
    return TrainerError(ExitCode.OUTPUT, reason, message, hint)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` or nothing."""
    by_lower_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    return f"; did you mean '{by_lower_case[close[0]]}'?" if close else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """`a, b, c and 7 more`."""
    every = list(names)
    rest = len(every) - most
    return ", ".join(every[:most]) + (f" and {rest} more" if rest > 0 else "")


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, the outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


_NO_SPACE = ("no space left", "disk quota exceeded")
_TORCH_WRITER = ("inline_container", "pytorchstreamwriter")
_PROBE_BYTES = 1 << 20


def _probe(folder: Path) -> OSError | None:
    """torch hides why a write failed; the half-written file is still there, so writing a little more shows it."""
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
    """Whatever goes wrong while something is written below `folder` is a failure of the output."""
    try:
        yield
    except TrainerError:
        raise
    except Exception as error:  # safetensors and torch wrap the system's errors in classes of their own
        text = str(error).lower()
        cause = _probe(folder) if any(words in text for words in _TORCH_WRITER) else error
        number = cause.errno if isinstance(cause, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT) or any(words in text for words in _NO_SPACE):
            raise output_error(
                "OutputFull",
                f"no space is left in {folder}",
                "give it more room (output.size; for a bucket or the Hub a node with more disk), or lower checkpoints.keep",
            ) from error
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise output_error(
                "OutputNotWritable",
                f"{folder} cannot be written: {cause}",
                "let the user that the trainer runs as write there, or choose another output.uri",
            ) from error
        if number is not None:
            raise output_error("OutputFailed", f"writing to {folder} failed: {cause}") from error
        raise
