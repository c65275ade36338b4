"""Brings one FineTuneJob nearer to what its spec asks for, and its status to what is. Level-triggered: it may run at
any time and any number of times, and does nothing where there is nothing to do."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from finetune_api.status import FineTuneJobStatus
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.children import Children
from finetune_operator.controller.observer import Observer
from finetune_operator.controller.status_writer import StatusWriter
from finetune_operator.job.finetunejob import FineTuneJob, Key, parse_finetunejob
from finetune_operator.job.observation import Observation
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube.client import Kube
from finetune_operator.kube.informer import Informer
from finetune_operator.status.compute import compute_status
from finetune_operator.status.deadline import pre_running_due
from finetune_operator.status.waiting import NO_POD_YET

_LOOK_AGAIN_SECONDS = 15.0
"""While something is in the way that no watch shows, such as a quota or a foreign object."""


class Reconciler:
    """One pass for one key: observe, ensure the children, compute the status, write it. The second and the fourth write."""

    def __init__(
        self,
        kube: Kube,
        *,
        finetunejobs: FineTuneJobs,
        jobs: Informer,
        pods: Informer,
        pod_defaults: Callable[[], PodDefaults],
        status_interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._finetunejobs = finetunejobs
        self._observer = Observer(kube, jobs=jobs, pods=pods)
        self._children = Children(kube, pod_defaults)
        self._status = StatusWriter(kube, finetunejobs, status_interval, clock)

    async def reconcile(self, key: Key) -> float | None:
        """Run one pass. Return the seconds after which to run the next, or None. Raises API_FAILURES."""
        entry = self._finetunejobs.get(key)
        if entry is None:
            return None
        finetunejob = parse_finetunejob(entry.raw)
        if finetunejob.deleting:
            return None
        if finetunejob.terminal:
            entry.reports.clear()
        now = datetime.now(UTC)
        observed = await self._observer.observe(finetunejob, entry.reports, now)
        observed = await self._children.ensure(finetunejob, observed, entry)
        status = compute_status(finetunejob, observed, now)
        wait = await self._status.write(finetunejob, status, entry, now)
        return _soonest(wait, _next_look(finetunejob, observed, status, now))


def _next_look(
    finetunejob: FineTuneJob, observed: Observation, status: FineTuneJobStatus, now: datetime
) -> float | None:
    """Seconds until time alone, or something that no watch shows, may change the status."""
    if finetunejob.spec is None or status.phase != "Pending":
        return None
    due = pre_running_due(finetunejob, finetunejob.spec, observed)
    until_due = None if due is None else max(0.0, (due - now).total_seconds())
    blocked = observed.blocked or observed.under_way.blocked
    waiting = NO_POD_YET.total_seconds() if blocked is None else _LOOK_AGAIN_SECONDS
    return _soonest(until_due, waiting)


def _soonest(*delays: float | None) -> float | None:
    return min((delay for delay in delays if delay is not None), default=None)
