"""Brings one FineTuneJob nearer to what its spec asks for, and its status to what is. Level-triggered: it may run at
any time and any number of times, and does nothing where there is nothing to do."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from kubernetes.aio.client.exceptions import ConflictException, NotFoundException

from finetune_api.status import FineTuneJobStatus
from finetune_api.v1alpha1 import API_VERSION, KIND, FineTuneJobSpec
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.children import Children
from finetune_operator.job.finetunejob import FineTuneJob, Key, parse_finetunejob
from finetune_operator.job.names import LABEL_JOB_UID, job_name, preflight_job_name
from finetune_operator.job.observation import Cause, JobState, Observation, parse_job, parse_pods
from finetune_operator.job.ownership import is_ours, own_pods
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.job.preflight import asked_for
from finetune_operator.kube import events
from finetune_operator.kube.client import FINETUNEJOBS, PODS, Kube
from finetune_operator.kube.informer import Informer
from finetune_operator.reports.latest import LatestReports
from finetune_operator.status.compute import compare, compute_status, to_manifest
from finetune_operator.status.failures import failed_pods
from finetune_operator.status.phase import PRE_RUNNING_DEADLINE, blocking_pod, pre_running_due
from finetune_operator.status.phase_event import phase_event
from finetune_operator.status.preflight_phase import preflight_due

_LOOK_AGAIN_SECONDS = 15.0
"""While something is in the way that no watch of ours tells of, such as a quota or a foreign object."""
_CLOCK_SECONDS = 30.0
"""Least time between two writes that change the time of the last report only."""
_NO_POD_YET = timedelta(seconds=5)
_CONFLICT_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Reconciler:
    """One pass for one key: observe, make what is missing, compute the status, write it if it differs."""

    def __init__(
        self,
        kube: Kube,
        *,
        finetunejobs: FineTuneJobs,
        jobs: Informer,
        pods: Informer,
        reports: LatestReports,
        pod_defaults: Callable[[], PodDefaults],
        status_interval: float,
    ) -> None:
        self._kube = kube
        self._finetunejobs = finetunejobs
        self._jobs = jobs
        self._pods = pods
        self._reports = reports
        self._pod_defaults = pod_defaults
        self._status_interval = status_interval
        self._children = Children(kube)
        self._written: dict[Key, float] = {}

    async def reconcile(self, key: Key) -> float | None:
        """One pass. Gives the seconds after which it wants to come again, or None; raises what the API raises."""
        raw = self._finetunejobs.get(key)
        if raw is None:
            self._forget(key)
            return None
        finetunejob = parse_finetunejob(raw)
        if finetunejob.deleting:
            return None
        now = datetime.now(UTC)
        if finetunejob.terminal:
            await self._after_the_end(finetunejob)
            return await self._write(finetunejob, compute_status(finetunejob, Observation(), now), now)
        observed = await self._observe(finetunejob, now)
        status = compute_status(finetunejob, observed, now)
        held = await self._write(finetunejob, status, now)
        return _soonest(held, self._next_look(finetunejob, observed, status, now))

    def _forget(self, key: Key) -> None:
        self._reports.forget(key)
        self._children.forget(key)
        self._written.pop(key, None)

    async def _after_the_end(self, finetunejob: FineTuneJob) -> None:
        """Terminal means terminal: nothing is made again, whatever happens to the children."""
        self._forget(finetunejob.key)
        failure = finetunejob.status.failure
        for name in (job_name(finetunejob.key.name), preflight_job_name(finetunejob.key.name)):
            job = self._cached_job(finetunejob, name)
            if job is None or job.deleting:
                continue
            if job.end is not None:
                await self._children.sync_ttl(finetunejob, job)
            elif failure is not None and failure.reason == PRE_RUNNING_DEADLINE:
                await self._children.delete_job(finetunejob, job)

    async def _observe(self, finetunejob: FineTuneJob, now: datetime) -> Observation:
        observed = self._cached(finetunejob, job_name(finetunejob.key.name))
        if not finetunejob.status.attempts:
            preflight = self._cached(finetunejob, preflight_job_name(finetunejob.key.name))
            observed = replace(observed, preflight=preflight if preflight.job else None)
        spec = finetunejob.spec
        if spec is None:
            return observed
        if observed.job is None:
            observed = await self._before_the_job(finetunejob, spec, observed, now)
        return await self._follow(finetunejob, spec, observed, spec.resources.nodes, now)

    def _cached(self, finetunejob: FineTuneJob, name: str) -> Observation:
        """What our caches hold of one of the two Jobs."""
        return Observation(
            job=self._cached_job(finetunejob, name),
            pods=parse_pods(own_pods(name, self._pods.labelled(finetunejob.uid))),
            received=self._reports.get(finetunejob.key),
            unread=self._reports.refused(finetunejob.key),
        )

    def _cached_job(self, finetunejob: FineTuneJob, name: str) -> JobState | None:
        raw = self._jobs.get(finetunejob.key.namespace, name)
        return parse_job(raw) if raw is not None and is_ours(raw, finetunejob.uid) else None

    async def _before_the_job(
        self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, now: datetime
    ) -> Observation:
        """Make the Job, or what comes before it: a preflight that is under way has to succeed first."""
        preflight = observed.preflight and await self._follow(finetunejob, spec, observed.preflight, 1, now)
        if preflight and not (preflight.job and preflight.job.end and preflight.job.end.succeeded):
            return replace(observed, preflight=preflight)
        observed = replace(observed, preflight=preflight)
        asked = preflight is not None or asked_for(finetunejob, spec)
        made = await self._children.make(finetunejob, spec, self._pod_defaults(), preflight=asked)
        observed = made.within(observed)
        if made.preflight is not None and observed.preflight is not None:
            followed = await self._follow(finetunejob, spec, observed.preflight, 1, now)
            observed = replace(observed, preflight=followed)
        return observed

    async def _follow(
        self, finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, nodes: int, now: datetime
    ) -> Observation:
        """Keep to what may change of a Job of `nodes` pods, and look closer where the caches do not tell enough."""
        job = observed.job
        if job is None:
            return observed
        if job.deleting:
            # Somebody deleted it; once it is gone a new one is made, and resumes.
            return replace(observed, job=None, blocked=Cause("JobDeleted", "the Job is being deleted; a new one comes"))
        if job.end is None:
            first_pod = observed.attempts[-1].uid if observed.attempts else None
            job = await self._children.sync_mutable_fields(finetunejob, spec, job, first_pod, self._pod_defaults())
        observed = replace(observed, job=job)
        if job.end is not None:
            # The Job's end may be seen before the pods': the last word is taken from what stands now.
            selector = f"{LABEL_JOB_UID}={finetunejob.uid}"
            pods, _ = await self._kube.list(PODS, finetunejob.key.namespace, labelSelector=selector)
            observed = replace(observed, pods=parse_pods(own_pods(job.name, pods)))
        return replace(observed, blocked=await self._why_no_pod(finetunejob, observed, nodes, now))

    async def _why_no_pod(
        self, finetunejob: FineTuneJob, observed: Observation, nodes: int, now: datetime
    ) -> Cause | None:
        """The warning that explains a pod that does not come or does not start, where nothing else explains it."""
        job = observed.job
        if job is None or job.end is not None or job.suspended:
            return None
        uid, since = job.uid, job.start_time
        pod = blocking_pod(observed)
        if pod is not None and pod.waiting is not None:
            if pod.waiting.message:
                return None
            uid, since = pod.uid, pod.created
        else:
            failed = failed_pods(observed.newest)
            if len(observed.newest) - len(failed) >= nodes:
                return None
            # What kept earlier pods from coming is no reason for the one that is to replace these.
            since = max((time for pod, end in failed if (time := end.finished or pod.created)), default=since)
        if since is None or now - since < _NO_POD_YET:
            return None
        return await events.latest_warning(self._kube, finetunejob.key.namespace, uid, since)

    async def _write(self, finetunejob: FineTuneJob, status: FineTuneJobStatus, now: datetime) -> float | None:
        """Write the status where it differs. Gives the seconds to wait if numbers alone have to wait their turn."""
        change = compare(finetunejob.status, status)
        if not change.any:
            return None
        if not change.urgent:
            interval = _CLOCK_SECONDS if change.only_clock else self._status_interval
            wait = self._written.get(finetunejob.key, -interval) + interval - time.monotonic()
            if wait > 0:
                return wait
        raw = self._finetunejobs.get(finetunejob.key)
        if raw is None:
            return None
        # With the resourceVersion that the status was computed from, so that nothing older overwrites anything newer. And
        # without the rest, which the API server leaves as it is: the spec may be what nobody can read.
        metadata = {name: raw["metadata"][name] for name in ("namespace", "name", "uid", "resourceVersion")}
        manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": to_manifest(status)}
        try:
            written = await self._kube.replace_status(FINETUNEJOBS, manifest)
        except ConflictException:
            await self._learn_anew(finetunejob.key)
            return _CONFLICT_SECONDS
        except NotFoundException:
            self._finetunejobs.forget(finetunejob.key)
            return None
        self._written[finetunejob.key] = time.monotonic()
        self._finetunejobs.learn(written)
        event = phase_event(finetunejob, status, now)
        if event is not None:
            _log.info("%s: %s: %s", finetunejob.key, status.phase, status.message)
            await events.post(self._kube, event)
        return None

    async def _learn_anew(self, key: Key) -> None:
        live = await self._kube.get(FINETUNEJOBS, key.namespace, key.name)
        if live is None:
            self._finetunejobs.forget(key)
        else:
            self._finetunejobs.learn(live)

    def _next_look(
        self, finetunejob: FineTuneJob, observed: Observation, status: FineTuneJobStatus, now: datetime
    ) -> float | None:
        if finetunejob.spec is None or status.phase != "Pending":
            return None
        under_way = observed.under_way
        find_due = pre_running_due if under_way is observed else preflight_due
        due = find_due(finetunejob, finetunejob.spec, under_way)
        until_due = None if due is None else max(0.0, (due - now).total_seconds())
        blocked = observed.blocked or under_way.blocked
        waiting = _NO_POD_YET.total_seconds() if blocked is None else _LOOK_AGAIN_SECONDS
        return _soonest(until_due, waiting)


def _soonest(*delays: float | None) -> float | None:
    return min((delay for delay in delays if delay is not None), default=None)
