"""Those whom `spec.notify` names, told that a run has ended: one attempt at a time, until the status says that it was delivered or
given up. What is still to do stands in the status, so that nothing has to survive a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from finetune_api.notify import NotifyTarget
from finetune_api.status import Notification
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.entry import Entry
from finetune_operator.job.finetunejob import FineTuneJob, Key
from finetune_operator.kube import server_time
from finetune_operator.kube.errors import retry_after
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.status.announcements.notices import LONGEST_WAIT, Answer, after_attempt, pending

AT_ONCE: Final = 64
"""Receivers that are told at the same time; a third of them may be such as did not take what they are told again."""
OF_A_NAMESPACE: Final = 8
"""Of them: receivers that hang keep others of their own namespace waiting at the most, and no other namespace's."""
OF_A_RECEIVER: Final = 4
"""Ends that one is told at the same time."""
_NO_LONGER_NAMED: Final = Answer(message="spec.notify names it no more", final=True)


@dataclass(frozen=True)
class Notice:
    """Somebody to be told of the end of one run."""

    key: Key
    uid: str
    run: int
    target: str


@dataclass(frozen=True)
class Receiver:
    """Somebody that the jobs of a namespace name: what hangs for one of them does so for all."""

    namespace: str
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
        self._due: dict[Receiver, dict[Notice, None]] = {}
        """In the order in which they came."""
        self._timers: dict[Notice, asyncio.TimerHandle] = {}
        self._queue: WorkQueue[Receiver] = WorkQueue(
            self._serve, delay_of=retry_after, lane_of=lambda receiver: receiver.namespace
        )

    def take_up(self, key: Key) -> None:
        """Schedule the attempts that the status of a job asks for, as it is written by now."""
        entry = self._finetunejobs.get(key)
        if entry is None:
            return
        finetunejob = self._read(entry)
        for notification in finetunejob.status.notifications:
            tried = entry.tried.get(notification.target)
            if tried is not None and tried.attempts <= notification.attempts:
                del entry.tried[notification.target]
            if notification.state == "Pending" and notification.target not in entry.tried:
                self._add(Notice(key, finetunejob.uid, finetunejob.run.number, notification.target), notification)

    def _add(self, notice: Notice, notification: Notification) -> None:
        if notification.next_attempt_time is None:
            self._add_due(notice)
        elif notice not in self._timers:
            wait = (notification.next_attempt_time - server_time.now()).total_seconds()
            timer = asyncio.get_running_loop().call_later(
                min(max(0.0, wait), LONGEST_WAIT.total_seconds()), self._fire, notice
            )
            self._timers[notice] = timer

    def _fire(self, notice: Notice) -> None:
        del self._timers[notice]
        self._add_due(notice, later=True)

    def _add_due(self, notice: Notice, *, later: bool = False) -> None:
        receiver = Receiver(notice.key.namespace, notice.target)
        self._due.setdefault(receiver, {})[notice] = None
        self._queue.add(receiver, later=later)

    async def work(self) -> None:
        """Make the attempts, until cancelled."""
        await self._queue.work(AT_ONCE, most_of_a_lane=OF_A_NAMESPACE)

    async def _serve(self, receiver: Receiver) -> None:
        """Make some of the attempts that are due. Raises API_FAILURES, after which those that met them are made again."""
        due = self._due.get(receiver, {})
        batch = [*islice(due, OF_A_RECEIVER)]
        for notice in batch:
            del due[notice]
        outcomes = await asyncio.gather(*map(self._attempt, batch), return_exceptions=True)
        failures = {
            notice: outcome
            for notice, outcome in zip(batch, outcomes, strict=True)
            if isinstance(outcome, BaseException)
        }
        due.update(dict.fromkeys(failures))
        for failure in failures.values():
            raise failure
        if due:
            self._queue.add(receiver)
        else:
            self._due.pop(receiver, None)

    async def _attempt(self, notice: Notice) -> None:
        """Make an attempt, if it is still wanted. Raises API_FAILURES."""
        finetunejob, notification = self._wanted(notice)
        if finetunejob is None or notification is None or finetunejob.spec is None:
            return
        target = next((each for each in finetunejob.spec.notify if each.name == notice.target), None)
        answer = _NO_LONGER_NAMED if target is None else await self._send(finetunejob, target)
        entry = self._finetunejobs.get(notice.key)
        if entry is not None and self._wanted(notice)[1] == notification:
            entry.tried[notice.target] = after_attempt(notification, answer, server_time.now())
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
