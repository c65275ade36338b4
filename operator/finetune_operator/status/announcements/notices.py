"""Who is to be told that a run has ended, and what became of it. The intent is part of the status that says how the run ended, so
that whoever leads next goes on, and a job that ended before anybody was to be told stays unannounced."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from finetune_api.printable import printable
from finetune_api.status import Notification, Phase
from finetune_operator.job.finetunejob import TERMINAL, FineTuneJob

_FIRST, LONGEST_WAIT = timedelta(seconds=5), timedelta(hours=1)
"""Of the waits after an attempt that came to nothing; each is twice the one before."""
MAX_ATTEMPTS: Final = 34
"""With these waits, in a day."""
_LONGEST_MESSAGE: Final = 256


@dataclass(frozen=True)
class Answer:
    """What one attempt came to."""

    delivered: bool = False
    message: str = ""
    """Why not."""
    final: bool = False
    """Whether nobody there wants it any more."""
    retry_after: float = 0.0
    """Seconds that the receiver asks for before the next attempt."""


def notifications(finetunejob: FineTuneJob, phase: Phase | None, tried: Iterable[Notification]) -> list[Notification]:
    """Return whom the job wants to be told of its end in this phase, with what was `tried` since that was written.

    Nobody, if it was never taken by a profile: that says where a notification may go.
    """
    if finetunejob.terminal:
        return take_in(finetunejob.status.notifications, tried)
    if phase not in TERMINAL or finetunejob.spec is None or finetunejob.kept is None:
        return []
    return [Notification(target=each.name) for each in finetunejob.spec.notify if phase in each.phases]


def take_in(written: Iterable[Notification], tried: Iterable[Notification]) -> list[Notification]:
    """Return the notifications with what was tried since they were written."""
    newer = {each.target: each for each in tried}
    return [
        newer[each.target] if each.target in newer and newer[each.target].attempts > each.attempts else each
        for each in written
    ]


def after_attempt(pending: Notification, answer: Answer, now: datetime) -> Notification:
    """Return the notification after one more attempt."""
    attempts = pending.attempts + 1
    tried = Notification(target=pending.target, attempts=attempts, last_attempt_time=now)
    if answer.delivered:
        return tried.model_copy(update={"state": "Delivered"})
    tried = tried.model_copy(update={"message": printable(answer.message)[:_LONGEST_MESSAGE]})
    if answer.final or attempts >= MAX_ATTEMPTS:
        return tried.model_copy(update={"state": "GivenUp"})
    return tried.model_copy(update={"next_attempt_time": now + _wait(attempts, answer.retry_after)})


def _wait(attempts: int, asked: float) -> timedelta:
    doubled = _FIRST.total_seconds() * 2.0 ** min(attempts - 1, 16)
    return timedelta(seconds=min(LONGEST_WAIT.total_seconds(), max(doubled, asked)))


def pending(notifications: Iterable[Notification], target: str) -> Notification | None:
    """Return the notification of this target that still has to be delivered."""
    return next((each for each in notifications if each.target == target and each.state == "Pending"), None)
