"""Writes the status of a FineTuneJob where it differs, and an Event where its phase does, or the reason why it waits."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime

from kubernetes.aio.client.exceptions import ConflictException, NotFoundException

from finetune_api.base import JsonObject
from finetune_api.status import FineTuneJobStatus
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.numbers import Numbers
from finetune_operator.job.finetunejob import TERMINAL, FineTuneJob
from finetune_operator.job.unknown import with_unknown
from finetune_operator.kube.client import FINETUNEJOBS, Kube
from finetune_operator.kube.errors import REFUSED_FOR_GOOD, api_message
from finetune_operator.kube.events import post
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.metrics.lifecycle import record
from finetune_operator.status.announcements.job_event import job_event, notification_event
from finetune_operator.status.change import Change, compare, to_manifest
from finetune_operator.traces.lifecycle import Written
from finetune_operator.traces.passes import note_status

_CLOCK_SECONDS = 30.0
"""Least time between two writes of times alone, such as that of the last report."""
CHANGED_SECONDS = 0.1
"""Until a job is looked at again that has changed since it was read."""
_TRANSITIONS_AT_ONCE = 10
"""Of a job, for which a user who suspends and resumes it may be the cause; after that they wait as numbers do."""
_EVENT_SECONDS = 60.0
"""Least time between two Events of a job with the same reason."""

logger = logging.getLogger(__name__)


class StatusWriter:
    """Writes transitions at once, and what pods report in its turn."""

    def __init__(
        self,
        kube: Kube,
        finetunejobs: FineTuneJobs,
        numbers: Numbers,
        clock: Callable[[], float] = time.monotonic,
        on_written: Callable[[JsonObject, FineTuneJob], None] = lambda packed, finetunejob: None,
    ) -> None:
        """`on_written` is called with a FineTuneJob whose status was written, as it is kept and as it would be read, where that is known."""
        self._kube = kube
        self._on_written = on_written
        self._finetunejobs = finetunejobs
        self._numbers = numbers
        self._clock = clock
        self._transitions = RateLimit(
            per_second=1 / max(numbers.interval, 0.1), burst=_TRANSITIONS_AT_ONCE, clock=clock
        )
        self._events = RateLimit(per_second=1 / _EVENT_SECONDS, burst=1, clock=clock)

    async def write(
        self,
        finetunejob: FineTuneJob,
        status: FineTuneJobStatus,
        reporting: Collection[str],
        entry: Entry,
        now: datetime,
    ) -> float | None:
        """Write the status where it differs. Return the seconds after which to try again, or None.

        One that the API server refuses is computed again, without what was reported by the pods of these uids.
        """
        change = compare(finetunejob.status, status)
        if not change.any and not entry.own.falsified:
            return None
        wait = self._wait(change, finetunejob, status, entry)
        if wait > 0:
            return wait
        in_turn = not change.urgent and not entry.own.falsified
        if entry.own.falsified:
            logger.warning("%s: its status was written by somebody else, and is written again", finetunejob.key)
        try:
            written = await self._replace(finetunejob, status, entry, in_turn=in_turn)
        except REFUSED_FOR_GOOD as error:
            if not reporting:
                raise
            logger.warning("%s: the API server refuses the status: %s", finetunejob.key, api_message(error))
            entry.reports.refused |= set(reporting)
            return 0.0
        if not written:
            return CHANGED_SECONDS
        _count(finetunejob, status, now)
        for event in (job_event(finetunejob, status, now), notification_event(finetunejob, status, now)):
            if event is not None and not self._events.wait(f"{finetunejob.uid} {event['reason']}"):
                logger.info("%s: %s: %s", finetunejob.key, event["reason"], event["message"])
                await post(self._kube, event)
        # What is left to do for a job that has ended is done once that is written.
        return 0.0 if status.phase in TERMINAL else None

    async def begin_run(
        self, finetunejob: FineTuneJob, status: FineTuneJobStatus, entry: Entry, now: datetime
    ) -> float:
        """Write that another run begins. Nothing happens if the job has changed meanwhile. Return the seconds after which to go on."""
        if not await self._replace(finetunejob, status, entry):
            return CHANGED_SECONDS
        entry.forget_run()
        _trace(finetunejob, status, now)
        logger.info("%s: %s", finetunejob.key, status.message)
        event = job_event(finetunejob, status, now)
        if event is not None:
            await post(self._kube, event)
        return CHANGED_SECONDS

    async def _replace(
        self, finetunejob: FineTuneJob, status: FineTuneJobStatus, entry: Entry, *, in_turn: bool = False
    ) -> bool:
        """Write a status. Return False if the object has changed meanwhile, or is gone."""
        key, manifest = finetunejob.key, _manifest(finetunejob, status)
        try:
            with self._finetunejobs.writing_status(key) as wrote:
                answer = await self._kube.replace_status(FINETUNEJOBS, manifest, in_turn=in_turn)
                packed = wrote(answer)
        except ConflictException:
            live = await self._kube.get(FINETUNEJOBS, key.namespace, key.name)
            self._finetunejobs.refresh(key, finetunejob.uid, live)
            return False
        except NotFoundException:
            self._finetunejobs.refresh(key, finetunejob.uid, None)
            return False
        if answer.get("status") == manifest["status"] and not (finetunejob.unknown or finetunejob.wants_new_run):
            self._on_written(packed, _after(finetunejob, status, answer))
        entry.status_written = self._clock()
        self._numbers.done(finetunejob.uid)
        return True

    def _wait(self, change: Change, finetunejob: FineTuneJob, status: FineTuneJobStatus, entry: Entry) -> float:
        """Seconds until the change may be written; 0 for now. An end is written now: nothing comes after it."""
        if change.any and status.phase in TERMINAL:
            return 0.0
        written = entry.status_written
        if change.urgent or entry.own.falsified:
            return self._transitions.wait(finetunejob.uid) if written is not None else 0.0
        if change.only_clock and written is not None and (early := written + _CLOCK_SECONDS - self._clock()) > 0:
            return early
        return self._numbers.wait(finetunejob.uid, written)


def _count(finetunejob: FineTuneJob, after: FineTuneJobStatus, now: datetime) -> None:
    """Add what was written to the metrics, and to the job's trace."""
    record(finetunejob.namespace, finetunejob.run.begin_time or finetunejob.created, finetunejob.status, after, now)
    _trace(finetunejob, after, now)


def _trace(finetunejob: FineTuneJob, after: FineTuneJobStatus, now: datetime) -> None:
    key, created, before = finetunejob.key, finetunejob.created, finetunejob.status
    note_status(Written(finetunejob.uid, key.namespace, key.name, created, before, after, now))


def _after(finetunejob: FineTuneJob, status: FineTuneJobStatus, answer: JsonObject) -> FineTuneJob:
    """The FineTuneJob as it is read from the API server's answer, which has the status as it was sent."""
    run, version = status.run or finetunejob.run, answer["metadata"]["resourceVersion"]
    return replace(finetunejob, status=status, run=run, resource_version=version, unproven=False)


def _manifest(finetunejob: FineTuneJob, status: FineTuneJobStatus) -> JsonObject:
    # With the resourceVersion that the status was computed from, so that nothing older overwrites anything newer. And
    # without the rest, which the API server leaves as it is: the spec may be one that cannot be read.
    metadata = {
        "namespace": finetunejob.namespace,
        "name": finetunejob.name,
        "uid": finetunejob.uid,
        "resourceVersion": finetunejob.resource_version,
    }
    written = to_manifest(status)
    if finetunejob.unknown and not finetunejob.wants_new_run:
        written = with_unknown(written, finetunejob.unknown, FineTuneJobStatus)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": written}
