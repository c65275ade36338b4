"""How a run fails: an exit code, a reason for machines, a message that names the cause, and a remedy."""

from collections.abc import Iterator

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode


class TrainerError(Exception):
    """A failure that we can explain. Its reason is in CamelCase, as reasons are in Kubernetes."""

    def __init__(self, exit_code: ExitCode, reason: Reason, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.reason = reason
        self.message = message
        self.hint = hint


class Stopped(BaseException):
    """The run was asked to stop. Like KeyboardInterrupt, no `except Exception` of a library may swallow it."""


def bad_configuration(message: str, hint: str | None = None, reason: Reason = Reason.BAD_CONFIGURATION) -> TrainerError:
    return TrainerError(ExitCode.BAD_CONFIGURATION, reason, message, hint)


def data_error(reason: Reason, message: str, hint: str | None = None) -> TrainerError:
    return TrainerError(ExitCode.DATA, reason, message, hint)


def model_error(reason: Reason, message: str, hint: str | None = None) -> TrainerError:
    return TrainerError(ExitCode.MODEL, reason, message, hint)


def output_error(reason: Reason, message: str, hint: str | None = None) -> TrainerError:
    return TrainerError(ExitCode.OUTPUT, reason, message, hint)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that led to it, the outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
