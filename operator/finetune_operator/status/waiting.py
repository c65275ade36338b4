"""Why a job waits: for its Job to be made, for quota, for a pod, or for a pod's container to run."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.reasons import Reason
from finetune_operator.job.observation import Cause, JobState, Observation, PodState
from finetune_operator.status.failures import failed_pods

NO_POD_YET = timedelta(seconds=5)
"""For so long after its begin, nothing needs to explain why a pod has not come or does not run."""

_HINTS: dict[str, str] = {
    Reason.ERR_IMAGE_PULL: "the image cannot be pulled",
    Reason.IMAGE_PULL_BACK_OFF: "the image cannot be pulled",
    Reason.INVALID_IMAGE_NAME: "the image's name is not valid",
    Reason.ERR_IMAGE_NEVER_PULL: "the image is not on the node",
    Reason.CREATE_CONTAINER_CONFIG_ERROR: "the container cannot be configured",
    Reason.CREATE_CONTAINER_ERROR: "the container cannot be created",
    Reason.RUN_CONTAINER_ERROR: "the container cannot be started",
    Reason.UNSCHEDULABLE: "no node can take the pod",
    Reason.SCHEDULING_GATED: "the pod is held back by a scheduling gate",
    Reason.FAILED_MOUNT: "a volume cannot be mounted",
    Reason.FAILED_ATTACH_VOLUME: "a volume cannot be attached",
    Reason.FAILED_CREATE: "the pod cannot be created",
}


@dataclass(frozen=True)
class Waiting(Cause):
    """Why a job waits."""

    explained: bool = True
    """Whether anything explains why a pod does not come or does not run, so that it is not just on its way."""


def why_waiting(observed: Observation, nodes: int) -> Waiting:
    """What a job of `nodes` pods waits for, if its pods do not run: its Job, quota, or a pod."""
    job, blocked = observed.job, observed.blocked
    if job is None:
        return Waiting(blocked.reason, blocked.message) if blocked else Waiting(Reason.CREATING, "creating the Job")
    return _waiting_for_quota(job) if job.suspended else _waiting_for_pods(observed, nodes)


def _waiting_for_quota(job: JobState) -> Waiting:
    """Why a Job is suspended that the user has not suspended."""
    if job.queue:
        return Waiting(Reason.WAITING_FOR_QUOTA, f"waiting for quota in the queue {job.queue}")
    return Waiting(Reason.WAITING_FOR_ADMISSION, "waiting: the Job is suspended, and not by spec.suspend")


def _waiting_for_pods(observed: Observation, nodes: int) -> Waiting:
    """Why not all pods run yet, by the one with the best explanation."""
    pod, blocked = blocking_pod(observed), observed.blocked
    if pod is None:
        if blocked is None:
            return Waiting(Reason.WAITING_FOR_POD, "waiting for a pod", explained=False)
        return Waiting(blocked.reason, _explain(blocked, None))
    cause = pod.waiting or Cause(Reason.CONTAINER_CREATING, "")
    explained = bool(cause.message) or blocked is not None
    if not cause.message and blocked is not None:
        cause = blocked
    number = f"pod {pod.index}: " if nodes > 1 else ""
    return Waiting(cause.reason, number + _explain(cause, pod.image), explained)


def blocking_pod(observed: Observation) -> PodState | None:
    """The pod that the others wait for: the first that explains why it does not run, or else the first that does not."""
    waiting = [pod for pod in observed.newest if pod.waiting is not None]
    return next((pod for pod in waiting if pod.waiting and pod.waiting.message), next(iter(waiting), None))


def unexplained(observed: Observation, nodes: int, now: datetime) -> tuple[str, datetime] | None:
    """The uid of the object whose Warnings explain why a pod does not come or start, and the time from which they count.

    None where no pod is missing, where the pod itself explains it, or where it is too early to ask.
    """
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
    return None if since is None or now - since < NO_POD_YET else (uid, since)


def _explain(cause: Cause, image: str | None) -> str:
    """One line on why a pod does not run yet."""
    what = _HINTS.get(cause.reason)
    if what is None:
        return cause.message or "starting the container"
    if image and "Image" in cause.reason:
        what = what.replace("the image", f"the image {image}", 1)
    return f"{what}: {cause.message}" if cause.message else what
