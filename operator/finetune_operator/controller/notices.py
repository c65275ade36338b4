"""Those whom `spec.notify` names, told that a run has ended: one attempt at a time, until the status says that it was delivered or
given up. What is still to do stands in the status, so that nothing has to survive a restart."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from finetune_api.notify import NotifyTarget
from finetune_api.status import Notification
from finetune_operator.controller.cache import Entry, FineTuneJobs
from finetune_operator.job.finetunejob import FineTuneJob, Key
from finetune_operator.kube import server_time
from finetune_operator.kube.errors import retry_after
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.status.notices import Answer, after_attempt, pending

AT_ONCE: Final = 64
"""Attempts under way; a quarter of them may be such as came to nothing before."""
OF_A_NAMESPACE: Final = 4
"""Of them: a receiver that hangs keeps its own namespace waiting, and no other."""
_NO_LONGER_NAMED: Final = Answer(message="spec.notify names it no more", final=True)


@dataclass(frozen=True)
class Notice:
    """Somebody to be told of the end of one run."""

    key: Key
    uid: str
    run: int
    target: str


class Notices:
    """The attempts that are due, in turn by namespace, apart from all other work."""

    def __init__(
        self,
        finetunejobs: FineTuneJobs,
        read: Callable[[Entry], FineTuneJob],
        send: Callable[[FineTuneJob, NotifyTarget], Awaitable[Answer]],
        on_tried: Callable[[Key], None],
    ) -> None:
        """`send` makes one attempt, and `on_tried` is called with the key of a job whose status is then to be written."""
        self._finetunejobs = finetunejobs
        self._read = read
        self._send = send
        self._on_tried = on_tried
        self._queue: WorkQueue[Notice] = WorkQueue(
            self._attempt, delay_of=retry_after, lane_of=lambda notice: notice.key.namespace
        )

    def take_up(self, finetunejob: FineTuneJob, entry: Entry) -> None:
        """Have the attempts made that the job's status asks for, each when it is due."""
        for told in finetunejob.status.notifications:
            tried = entry.tried.get(told.target)
            if tried is not None and tried.attempts <= told.attempts:
                del entry.tried[told.target]
            if told.state == "Pending" and told.target not in entry.tried:
                self._add(Notice(finetunejob.key, finetunejob.uid, finetunejob.run.number, told.target), told)

    def _add(self, notice: Notice, told: Notification) -> None:
        if told.next_attempt_time is None:
            self._queue.add(notice)
        else:
            wait = (told.next_attempt_time - server_time.now()).total_seconds()
            self._queue.add_after(notice, max(0.0, wait), later=True)

    async def work(self) -> None:
        """Make the attempts, until cancelled."""
        await self._queue.work(AT_ONCE, most_of_a_lane=OF_A_NAMESPACE)

    async def _attempt(self, notice: Notice) -> None:
        """Make an attempt, if it is still wanted. Raises API_FAILURES, after which it is made again."""
        finetunejob, told = self._wanted(notice)
        if finetunejob is None or told is None or finetunejob.spec is None:
            return
        target = next((each for each in finetunejob.spec.notify if each.name == notice.target), None)
        answer = _NO_LONGER_NAMED if target is None else await self._send(finetunejob, target)
        entry = self._finetunejobs.get(notice.key)
        if entry is not None and self._wanted(notice)[1] == told:
            entry.tried[notice.target] = after_attempt(told, answer, server_time.now())
            self._on_tried(notice.key)

    def _wanted(self, notice: Notice) -> tuple[FineTuneJob | None, Notification | None]:
        """The job as it is now, and the notification if it is pending and no attempt is about to be written."""
        entry = self._finetunejobs.get(notice.key)
        if entry is None or entry.uid != notice.uid or notice.target in entry.tried:
            return None, None
        finetunejob = self._read(entry)
        if finetunejob.run.number != notice.run:
            return None, None
        return finetunejob, pending(finetunejob.status.notifications, notice.target)
