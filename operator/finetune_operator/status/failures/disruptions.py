"""What takes a pod away while it runs: preemption, eviction, a drain, and a node that is not heard of any more."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.reasons import Reason
from finetune_api.report import MAX_REPORT_INTERVAL
from finetune_api.values import format_time
from finetune_operator.job.observation import Cause, Observation, PodState
from finetune_operator.status.messages import to_reason

_TALKS = timedelta(seconds=MAX_REPORT_INTERVAL + 15)
"""A pod that reported so lately runs, whatever the control plane knows of its node."""
_OVERDUE = timedelta(seconds=30)
"""A pod that is still there so long after its time to end is on a node that does not answer."""

_WHAT: dict[str, str] = {
    Reason.PREEMPTION_BY_SCHEDULER: "the scheduler preempts the pod on {node} for one of higher priority",
    Reason.DELETION_BY_TAINT_MANAGER: "{node} has got a taint that the pod does not tolerate",
    Reason.EVICTION_BY_EVICTION_API: "the pod is evicted from {node}, as when the node is drained",
    Reason.DELETION_BY_POD_GC: "{node} is gone, or out of service",
    Reason.TERMINATION_BY_KUBELET: "{node} ends the pod",
    Reason.EVICTED: "{node} evicts the pod",
    Reason.NODE_SHUTDOWN: "{node} is shut down",
}
_KUBELET: tuple[str, ...] = (Reason.TERMINATION_BY_KUBELET, Reason.EVICTED)
"""Where only the message tells what the node lacks."""


def describe_disruption(cause: Cause, node: str | None) -> str:
    """One line on why Kubernetes takes a pod away."""
    known = _WHAT.get(cause.reason)
    if known is None:
        return cause.message or "the pod was ended by Kubernetes"
    what = known.format(node=f"node {node}" if node else "its node")
    return f"{what}: {cause.message.strip(' .')}" if cause.reason in _KUBELET and cause.message else what


def lost_since(pod: PodState, now: datetime) -> datetime | None:
    """Since when nobody knows what a pod does, for its node does not answer. None if it does, or if the pod has ended."""
    if pod.terminated is not None or _talks(pod, now):
        return None
    if pod.missed_since is not None:
        return pod.missed_since
    overdue = pod.gone_by is not None and pod.node is not None and now - pod.gone_by >= _OVERDUE
    return pod.gone_by if overdue else None


@dataclass(frozen=True)
class Lost:
    """A pod whose node does not answer."""

    pod: PodState
    since: datetime

    def __str__(self) -> str:
        """What became of it, what Kubernetes does about it, and what a person can."""
        node = self.pod.node
        what = f"node {node} has not answered since {format_time(self.since)}"
        becomes = "Kubernetes has given the pod up"
        if self.pod.gone_by is None:
            tolerated = "the time that it tolerates this (5 min by default)"
            becomes = f"the pod goes on if the node is back within {tolerated}; after that Kubernetes gives the pod up"
        return (
            f"{what}: {becomes}, and replaces it once the node is back. If that is gone for good, "
            f"`kubectl delete node {node}`; if it is off, "
            f"`kubectl taint node {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`"
        )


def find_lost(observed: Observation, now: datetime) -> Lost | None:
    """The first of the pods that are to train together now whose node does not answer."""
    since = ((pod, lost_since(pod, now)) for pod in observed.newest)
    return next((Lost(pod, time) for pod, time in since if time is not None), None)


def notice(observed: Observation, now: datetime) -> Cause | None:
    """That one of the pods that run is being taken away, and so the run with it. None if none is."""
    for pod in observed.newest:
        if not pod.running or lost_since(pod, now) is not None:
            continue
        if pod.disrupted is None and pod.gone_by is None:
            continue
        cause = pod.disrupted or Cause(Reason.POD_DELETED, "the pod is being deleted")
        number = f"pod {pod.index}: " if len(observed.newest) > 1 else ""
        then = untold(pod) or "the trainer saves a checkpoint and stops"
        return Cause(cause.reason, f"{number}{describe_disruption(cause, pod.node)}; {then}")
    return None


def untold(pod: PodState) -> str:
    """Why a pod that runs does not learn that it is to stop; empty if it does."""
    if not pod.running or pod.missed_since is None:
        return ""
    return f"the trainer is not told, since node {pod.node} has not answered since {format_time(pod.missed_since)}"


def attempt_reason(pod: PodState, now: datetime) -> str | None:
    """The reason of an attempt that has not ended, where something is taking its pod away."""
    if lost_since(pod, now) is not None:
        return Reason.NODE_LOST
    return to_reason(pod.disrupted.reason) if pod.disrupted is not None else None


def next_loss(observed: Observation, now: datetime) -> float | None:
    """Seconds until a pod may be lost by nothing but the time that passes."""
    times = []
    for pod in observed.newest:
        if pod.terminated is not None:
            continue
        if (pod.missed_since is not None or pod.gone_by is not None) and pod.report is not None:
            times.append(pod.report.time + _TALKS)
        if pod.gone_by is not None:
            times.append(pod.gone_by + _OVERDUE)
    return min(((time - now).total_seconds() for time in times if time > now), default=None)


def _talks(pod: PodState, now: datetime) -> bool:
    return pod.report is not None and now - pod.report.time < _TALKS
