"""Why a job waits: for its Job to be made, for quota, for a pod, or for a pod's container to run."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.observation import Cause, JobState, Observation, PodState
from finetune_operator.job.warnings import Subject, WarningQuery
from finetune_operator.job.workload import InQueue
from finetune_operator.status.failures.disruptions import Lost, find_lost
from finetune_operator.status.failures.why_failed import failed_pods
from finetune_operator.status.waiting.image_pulls import PULLING, PULLS, describe_pull, is_pull, unwrap
from finetune_operator.status.waiting.remedies import remedy
from finetune_operator.status.waiting.unschedulable import in_plain_words, is_about_claims

NO_POD_YET = timedelta(seconds=5)
"""For so long after its begin, nothing needs to explain why a pod has not come or does not run."""
NOT_TAKEN_UP = timedelta(seconds=30)
"""After so long a Job is looked at again that its controller has not taken up yet. That it has is an event, and before it nothing is asked."""

_HINTS: dict[str, str] = {
    Reason.CREATE_CONTAINER_CONFIG_ERROR: "the container cannot be configured",
    Reason.CREATE_CONTAINER_ERROR: "the container cannot be created",
    Reason.RUN_CONTAINER_ERROR: "the container cannot be started",
    Reason.INIT_CONTAINER_FAILED: "the trainer cannot start before this",
    Reason.UNSCHEDULABLE: "no node can take the pod",
    Reason.SCHEDULER_ERROR: "the pod cannot be scheduled",
    Reason.SCHEDULING_GATED: "the pod is held back by a scheduling gate",
    Reason.FAILED_MOUNT: "a volume cannot be mounted",
    Reason.FAILED_ATTACH_VOLUME: "a volume cannot be attached",
    Reason.FAILED_CREATE: "the pod cannot be created",
    Reason.FAILED_SCHEDULING: "no node can take the pod",
    Reason.FAILED_CREATE_POD_SANDBOX: "the node cannot set up the pod's network and sandbox",
    Reason.NETWORK_NOT_READY: "the network of the node is not ready",
    Reason.NODE_NOT_READY: "the pod's node does not answer",
    Reason.PROVISIONING_FAILED: "no volume can be made",
}
_OF_SCHEDULER = frozenset({Reason.FAILED_SCHEDULING, Reason.UNSCHEDULABLE, Reason.SCHEDULER_ERROR})
_CHANGING = re.compile(
    r'^(?:Error creating: )?(?:(?:pods|Pod) "[^"]*" is (?:forbidden|invalid): )?|(?<=")[0-9a-f]{64}(?=")'
)
"""Names of pods that were not made, and ids of containers: another one with each try, and nothing to anybody."""
_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Waiting(Cause):
    """Why a job waits."""

    explained: bool = True
    """Whether anything explains why a pod does not come or does not run, so that it is not just on its way."""


_NO_POD = Waiting(Reason.WAITING_FOR_POD, "waiting for a pod", explained=False)


def why_waiting(observed: Observation, spec: FineTuneJobSpec, lost: Lost | None) -> Waiting:
    """What a job of this spec waits for, if its pods do not run: its Job, quota, or a pod, such as one that is lost."""
    job, blocked = observed.job, observed.blocked
    if job is None:
        # That the Job is made in this pass is no news of its own: what follows is what the job waits for.
        return Waiting(blocked.reason, blocked.message) if blocked else _NO_POD
    return _waiting_for_quota(job, blocked) if job.suspended else _waiting_for_pods(observed, spec, lost)


def _waiting_for_quota(job: JobState, blocked: Cause | None) -> Waiting:
    """Why a Job is suspended that the user has not suspended."""
    if isinstance(blocked, InQueue):
        return Waiting(blocked.reason, blocked.message)
    if job.queue:
        return Waiting(Reason.WAITING_FOR_QUOTA, f"waiting for quota in the queue {job.queue}")
    return Waiting(Reason.WAITING_FOR_ADMISSION, "waiting: the Job is suspended, and not by spec.suspend")


def _waiting_for_pods(observed: Observation, spec: FineTuneJobSpec, lost: Lost | None) -> Waiting:
    """Why not all pods run yet, by the one with the best explanation."""
    blocked, pod = observed.blocked, lost.pod if lost else blocking_pod(observed)
    if pod is None:
        if blocked is None:
            return _NO_POD
        return Waiting(blocked.reason, _explain(blocked, spec))
    number = f"pod {pod.index}: " if spec.resources.nodes > 1 else ""
    if lost is not None:
        return Waiting(Reason.NODE_LOST, f"{number}{lost}")
    cause = pod.waiting or Cause(Reason.CONTAINER_CREATING, "")
    if not is_pull(cause):
        return _waiting_for_container(pod, cause, blocked, spec, number)
    reason = Reason.IMAGE_PULL_BACK_OFF if cause.reason in PULLS else cause.reason
    return Waiting(reason, number + describe_pull(pod, cause, blocked, spec))


def _waiting_for_container(
    pod: PodState, cause: Cause, blocked: Cause | None, spec: FineTuneJobSpec, number: str
) -> Waiting:
    """Why a pod's container does not run that has its image, or does not need it yet."""
    if blocked is not None and (not cause.message or blocked.reason not in _OF_SCHEDULER):
        return Waiting(blocked.reason, number + _explain(blocked, spec))
    if pod.node is None and not cause.message:
        return Waiting(Reason.WAITING_FOR_POD, f"{number}waiting for the scheduler", explained=False)
    if pod.nominated:
        room = f"pods of lower priority make room for it on node {pod.nominated}"
        return Waiting(cause.reason, f"{number}{room}; until then {_explain(cause, spec)}")
    # Of a claim that has no volume the scheduler does not know why.
    explained = bool(cause.message) and not (cause.reason in _OF_SCHEDULER and is_about_claims(cause.message))
    return Waiting(cause.reason, number + _explain(cause, spec), explained=explained)


def blocking_pod(observed: Observation) -> PodState | None:
    """The pod that the others wait for: the first that explains why it does not run, or else the first that does not."""
    waiting = [pod for pod in observed.newest if pod.waiting is not None]
    return next((pod for pod in waiting if pod.waiting and pod.waiting.message), next(iter(waiting), None))


def unexplained(
    observed: Observation, spec: FineTuneJobSpec, claims: Iterable[Subject], now: datetime
) -> WarningQuery | None:
    """Whose Warnings explain why a pod does not come or start, if its own status does not suffice.

    None where no pod is missing, where the pod itself explains it, or where it is too early to ask.

    Args:
        claims: The claims that the pods mount.
    """
    job = observed.job
    if job is None or job.end is not None or job.suspended or find_lost(observed, now) is not None:
        return None
    pod = blocking_pod(observed)
    if pod is not None and pod.waiting is not None:
        since = pod.scheduled or pod.created
        asked = _about_pod(pod, pod.waiting, tuple(claims), since) if since is not None else None
    else:
        failed = failed_pods(observed.newest)
        if len(observed.newest) - len(failed) >= spec.resources.nodes:
            return None
        # What kept earlier pods from coming is no reason for the one that is to replace these.
        since = max((time for pod, end in failed if (time := end.finished or pod.created)), default=job.start_time)
        asked = WarningQuery((Subject("Job", job.name, job.uid),), since) if since is not None else None
    return None if asked is None or since is None or now - since < NO_POD_YET else asked


def _about_pod(pod: PodState, cause: Cause, claims: tuple[Subject, ...], since: datetime) -> WarningQuery | None:
    subject = Subject("Pod", pod.name, pod.uid)
    if cause.reason in PULLS:
        return WarningQuery((subject,), since, begins=PULLING)
    if cause.reason in _OF_SCHEDULER and is_about_claims(cause.message):
        # A claim that cannot be bound is warned about from its creation on, which may be long ago.
        return WarningQuery(claims, _EVER) if claims else None
    if cause.message:
        return None
    # What the scheduler lacked is over once the pod has a node.
    return WarningQuery((subject,), since, over=_OF_SCHEDULER if pod.node else frozenset())


def _explain(cause: Cause, spec: FineTuneJobSpec) -> str:
    """One line on why a pod does not come, or its container does not run yet, and what can be done about it."""
    message = _CHANGING.sub("", cause.message)
    if cause.reason in _OF_SCHEDULER:
        message = in_plain_words(message)
    elif cause.reason == Reason.INIT_CONTAINER_FAILED:
        name, _, why = message.partition(": ")
        message = f"{name}: {unwrap(why)}" if why else name
    what = _HINTS.get(cause.reason)
    if not message:
        return what or "starting the container"
    return "; ".join(filter(None, (f"{what}: {message}" if what else message, remedy(cause, spec))))
