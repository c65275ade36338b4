"""What a run that did not succeed ends with: its exit code, its failure, and the lines in the log."""

import logging
import traceback

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_api.status import MAX_LOG_TAIL, Failure
from finetune_api.values import MAX_MESSAGE
from finetune_trainer.base.errors import Stopped, TrainerError
from finetune_trainer.base.redaction import redact
from finetune_trainer.progress.state import RunState

logger = logging.getLogger("finetune_trainer")


def explain(error: BaseException, state: RunState) -> tuple[ExitCode, Failure | None]:
    """Log why the run ends. Returns its exit code, and the failure for the final report; None where it was stopped."""
    if isinstance(error, Stopped):
        logger.warning("stopped; %s", _where(state))
        return ExitCode.STOPPED, None
    if isinstance(error, TrainerError):
        return error.exit_code, known_failure(error)
    return ExitCode.INTERNAL, unknown_failure(error)


def known_failure(error: TrainerError) -> Failure:
    """Log a failure that can be explained. Returns it without secrets, and cut to what the API takes."""
    message, hint = redact(error.message), error.hint and redact(error.hint)
    if error.exit_code != ExitCode.PEER_LOST:  # that one has no cause here, and `launch` logs it if nobody has
        logger.error("error: %s", message)
        if hint:
            logger.error("hint: %s", hint)
    return Failure(
        reason=error.reason,
        message=message[:MAX_MESSAGE],
        hint=hint and hint[:MAX_MESSAGE],
        exit_code=error.exit_code,
    )


def unknown_failure(error: BaseException) -> Failure:
    """Log an exception that nobody explains, with its traceback. Returns it as `known_failure` does."""
    text = redact("".join(traceback.format_exception(error)))
    logger.error("%s", text)
    return Failure(
        reason=Reason.INTERNAL_ERROR,
        message=redact(f"{type(error).__name__}: {error}")[:MAX_MESSAGE],
        hint="the log has the whole story; this is a fault of the trainer or of a library, please report it",
        exit_code=ExitCode.INTERNAL,
        log_tail=text[-MAX_LOG_TAIL:],
    )


def _where(state: RunState) -> str:
    checkpoints = state.current.checkpoints
    if not checkpoints:
        return "nothing was trained yet"
    return f"the same command goes on from step {checkpoints[-1].step} ({checkpoints[-1].uri})"
