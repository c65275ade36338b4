"""Brings one FineTuneJob nearer to what its spec asks for, and its status to what is. Level-triggered: it may run at
any time and any number of times, and does nothing where there is nothing to do."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from finetune_api.reasons import Reason
from finetune_operator.controller.blocked import BlockedJobs
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.children.ensure import Children
from finetune_operator.controller.children.kueue import Kueue
from finetune_operator.controller.children.remove import Remover
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.notices import Notices
from finetune_operator.controller.numbers import Numbers
from finetune_operator.controller.observer import Observer, about_children
from finetune_operator.controller.profile_keeper import ProfileKeeper
from finetune_operator.controller.profiles import Profiles
from finetune_operator.controller.stand_back import StandBack
from finetune_operator.controller.status_writer import StatusWriter
from finetune_operator.job.finetunejob import FineTuneJob, Key
from finetune_operator.job.observation import Cause, Observation
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube import server_time
from finetune_operator.kube.client import Kube
from finetune_operator.kube.informer import Informer
from finetune_operator.status.compute import Computed, compute
from finetune_operator.status.new_run import status_of_new_run
from finetune_operator.status.waiting.why_waiting import NO_POD_YET

_CHANGED_SECONDS = 0.1
_FORMER_SECONDS = 10.0
"""Until what is left of a former run is looked at again, should a cache not show its end."""


@dataclass(frozen=True)
class Later:
    """The end of a pass that leaves the status as it is."""

    seconds: float | None
    """After which to look again; None if only news are a reason to."""


class Reconciler:
    """One pass for one key: observe, ensure the children, compute the status, write it. The second and the fourth write."""

    def __init__(
        self,
        kube: Kube,
        *,
        finetunejobs: FineTuneJobs,
        jobs: Informer,
        pods: Informer,
        profiles: Profiles,
        pod_defaults: Callable[[], PodDefaults],
        blocked: BlockedJobs,
        numbers: Numbers,
        trouble_of: Callable[[str], str] = lambda _: "",
        kueue: Kueue | None = None,
        notices: Notices | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._finetunejobs = finetunejobs
        self._notices = notices
        self._clock = clock
        self._blocked = blocked
        self._observer = Observer(
            kube, jobs=jobs, pods=pods, own_jobs=profiles.own_jobs, clock=clock, trouble_of=trouble_of
        )
        self._profiles = profiles
        self._children = Children(kube, pod_defaults, profiles.own_jobs, clock, kueue)
        self._status = StatusWriter(kube, finetunejobs, numbers, clock)
        self._stand_back = StandBack(kube, finetunejobs, clock)
        self._profile_keeper = ProfileKeeper(profiles, Remover(kube, clock), self._status)

    async def reconcile(self, key: Key) -> float | None:
        """Run one pass. Return the seconds after which to run the next, or None. Raises API_FAILURES."""
        entry = self._finetunejobs.get(key)
        if entry is None:
            self._blocked.leave(key)
            return None
        finetunejob = self._profiles.read_finetunejob(entry.packed)
        if finetunejob.others:
            return None
        now = server_time.now()
        later = await self._leave_or_begin(finetunejob, entry, now)
        if later is not None:
            return later
        if finetunejob.terminal:
            entry.reports.clear()
        observed = await self._observer.observe(finetunejob, entry, now)
        ensured = await self._ensure_children(finetunejob, observed, entry, now)
        if isinstance(ensured, Later):
            return ensured.seconds
        finetunejob, observed = ensured
        computed = compute(finetunejob, observed, now)
        wait = await self._write(finetunejob, observed, computed, entry, now)
        return _soonest(wait, self._next_look(observed, computed, entry))

    async def _leave_or_begin(self, finetunejob: FineTuneJob, entry: Entry, now: datetime) -> float | None:
        """Leave the job to somebody else who writes its status, or begin its next run: then nothing else is done in this pass.

        Return the seconds after which to look again; None if the pass goes on.
        """
        if (left := self._stand_back.left(entry)) > 0:
            return left
        if await self._stand_back.goes_by_end(finetunejob, entry):
            return _CHANGED_SECONDS
        if finetunejob.wants_new_run:
            await self._status.begin_run(finetunejob, status_of_new_run(finetunejob, now), entry, now)
            return _CHANGED_SECONDS
        return None

    async def _ensure_children(
        self, finetunejob: FineTuneJob, observed: Observation, entry: Entry, now: datetime
    ) -> tuple[FineTuneJob, Observation] | Later:
        """Give the job its profile, and its children what its spec asks for. Return both as they are then, if a status is to be computed."""
        if finetunejob.deleting and _is_told(finetunejob, observed):
            await self._children.ensure(finetunejob, observed, entry, now)
            self._blocked.leave(finetunejob.key)
            return Later(entry.refused.wait(self._clock()))
        settled = await self._profile_keeper.give_profile(finetunejob, observed, entry, now)
        if settled is None:
            return Later(_CHANGED_SECONDS)
        has_begun = finetunejob.kept is None and observed.job is None
        finetunejob, observed = settled
        observed = await self._children.ensure(finetunejob, observed, entry, now)
        self._note_blocked(finetunejob, observed, entry)
        left_alone = await self._stand_back.decide(finetunejob, observed, entry)
        if left_alone is not None:
            return Later(left_alone)
        if has_begun and observed.job is not None and observed.blocked is None:
            # What was written a moment ago holds until there is news of the Job.
            return Later(NO_POD_YET.total_seconds())
        return finetunejob, observed

    def _note_blocked(self, finetunejob: FineTuneJob, observed: Observation, entry: Entry) -> None:
        """Keep what is in the way of the job's children, or that nothing is."""
        if observed.former is None:
            waits = observed.job is None and not finetunejob.deleting
            cause = observed.blocked if waits else None
            self._blocked.note(finetunejob.key, about_children(finetunejob), cause, entry.obstacle, self._clock())

    async def _write(
        self, finetunejob: FineTuneJob, observed: Observation, computed: Computed, entry: Entry, now: datetime
    ) -> float | None:
        """Write the status, and have those told of an end whom it names. Return the seconds after which to try again, or None."""
        wait = await self._status.write(finetunejob, computed.status, observed.reporting, entry, now)
        if self._notices is not None and computed.status.notifications and not entry.own.is_of_another:
            self._notices.take_up(finetunejob.key)
        return wait

    def _next_look(self, observed: Observation, computed: Computed, entry: Entry) -> float | None:
        """Seconds until the job is looked at again if nothing is heard of it."""
        now = self._clock()
        of_queue = entry.queue.wait(now) if entry.queue is not None else None
        return _soonest(of_queue, entry.refused.wait(now), _may_change(observed, computed, entry.obstacle.wait(now)))


def _is_told(finetunejob: FineTuneJob, observed: Observation) -> bool:
    """Whether the status of a job that is being deleted stays as it is: its end is written, or it never began. Of one that was deleted
    as soon as its end was written something may run all the same."""
    return finetunejob.terminal or not (observed.holds_anything or finetunejob.status.phase)


def _may_change(observed: Observation, computed: Computed, until_asked: float | None) -> float | None:
    """Seconds until time alone, or something that no watch shows, may change the status.

    `until_asked` are those until what is in the way is looked at again.
    """
    phase = computed.status.phase
    if phase == "Queued":
        return until_asked
    if phase != "Pending":
        return computed.again
    if observed.former is not None:
        return _FORMER_SECONDS
    if until_asked is None and (not computed.explained or _may_not_be_made(observed.under_way.blocked)):
        until_asked = NO_POD_YET.total_seconds()
    return _soonest(computed.again, until_asked)


def _may_not_be_made(cause: Cause | None) -> bool:
    return cause is not None and cause.reason == Reason.CREATE_FORBIDDEN


def _soonest(*delays: float | None) -> float | None:
    return min((delay for delay in delays if delay is not None), default=None)
