"""Brings one FineTuneJob nearer to what its spec asks for, and its status to what is. Level-triggered: it may run at
any time and any number of times, and does nothing where there is nothing to do."""

import logging
import time
from collections.abc import Callable
from enum import Enum, auto

from finetune_operator.controller.blocked import BlockedJobs
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.children.ensure import Children
from finetune_operator.controller.children.kueue import Kueue
from finetune_operator.controller.children.shared import SharedObjects
from finetune_operator.controller.ensuring import Ensurer, Later
from finetune_operator.controller.next_pass import next_pass, soonest
from finetune_operator.controller.notices import Notices
from finetune_operator.controller.numbers import Numbers
from finetune_operator.controller.observer import Observer
from finetune_operator.controller.profile_keeper import ProfileKeeper
from finetune_operator.controller.profiles import Profiles
from finetune_operator.controller.stand_back import StandBack
from finetune_operator.controller.status_writer import CHANGED_SECONDS, StatusWriter
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube import server_time
from finetune_operator.kube.client import Kube
from finetune_operator.kube.informer import Informer
from finetune_operator.status.compute import compute
from finetune_operator.status.new_run import status_of_new_run

logger = logging.getLogger(__name__)


class _Next(Enum):
    """In place of the seconds until the next pass."""

    AT_ONCE = auto()
    """It follows before this one's caller hears of it."""


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
        self._status = StatusWriter(kube, finetunejobs, numbers, clock, profiles.note_written)
        self._stand_back = StandBack(kube, finetunejobs, clock)
        self._shared = SharedObjects(kube, clock)
        self._ensurer = Ensurer(
            ProfileKeeper(profiles),
            Children(kube, self._shared, pod_defaults, profiles.own_jobs, clock, kueue),
            self._stand_back,
            blocked,
            clock,
        )

    def forget_namespace(self, namespace: str) -> None:
        """Take nothing for granted there: it may have been deleted, and made anew."""
        self._shared.doubt(namespace)

    async def reconcile(self, key: Key) -> float | None:
        """Run one pass. Return the seconds after which to run the next, or None. Raises API_FAILURES.

        A job that begins has two: its profile is in its status before its first child is made.
        """
        for _ in range(2):
            wait = await self._run_pass(key)
            if wait is not _Next.AT_ONCE:
                return wait
        logger.warning("%s: its status does not keep its profile, so nothing is made: is the CRD of this version?", key)
        return CHANGED_SECONDS

    async def _run_pass(self, key: Key) -> float | _Next | None:
        entry = self._finetunejobs.get(key)
        if entry is None:
            self._blocked.leave(key)
            return None
        finetunejob = self._profiles.read_finetunejob(entry.packed)
        if finetunejob.others:
            return None
        begun, now = self._clock(), server_time.now()
        if (left := await self._stand_back.left_alone(finetunejob, entry)) > 0:
            return left
        if finetunejob.wants_new_run:
            return await self._status.begin_run(finetunejob, status_of_new_run(finetunejob, now), entry, now)
        if finetunejob.terminal:
            entry.reports.clear()
        observed = await self._observer.observe(finetunejob, entry, now)
        ensured = await self._ensurer.ensure_children(finetunejob, observed, entry, now)
        if isinstance(ensured, Later):
            return ensured.seconds
        finetunejob, observed = ensured
        computed = compute(finetunejob, observed, now)
        wait = await self._status.write(finetunejob, computed.status, observed.reporting, entry, now)
        if observed.profile is not None and wait is None:
            return _Next.AT_ONCE
        if self._notices is not None and computed.status.notifications and not entry.own.is_of_another:
            self._notices.take_up(key)
        again = next_pass(observed, computed, entry, begun, now)
        return soonest(wait, None if again is None else max(0.0, again - (self._clock() - begun)))
