"""A pod's status as the kubelet writes it: a pure function of the states of its containers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from devcluster.client import Object
from devcluster.events import timestamp
from devcluster.node.sources import HOST_IP


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def running(since: datetime) -> Object:
    return {"running": {"startedAt": timestamp(since)}}


def terminated(
    exit_code: int,
    started: datetime,
    finished: datetime,
    *,
    container_id: str,
    message: str = "",
    reason: str | None = None,
) -> Object:
    """Return the state of a finished container. Without a reason it is Completed or Error, by the exit code."""
    state: Object = {
        "exitCode": exit_code,
        "reason": reason or ("Completed" if exit_code == 0 else "Error"),
        "startedAt": timestamp(started),
        "finishedAt": timestamp(finished),
        "containerID": container_id,
    }
    if message:
        state["message"] = message
    return {"terminated": state}


@dataclass
class ContainerRecord:
    """The node's record of one container of a pod."""

    spec: Object
    state: Object
    last_state: Object = field(default_factory=dict)
    restarts: int = 0
    container_id: str = ""

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def exit_code(self) -> int | None:
        """The exit code; None unless the container has ended and does not wait for a restart."""
        code: int | None = self.state.get("terminated", {}).get("exitCode")
        return code

    @property
    def is_running(self) -> bool:
        return "running" in self.state


@dataclass(frozen=True)
class PodFailure:
    """Why the node itself ends a pod, such as DeadlineExceeded."""

    reason: str
    message: str


def pod_phase(
    restart_policy: str,
    init_records: Sequence[ContainerRecord],
    records: Sequence[ContainerRecord],
    *,
    is_over: bool,
) -> str:
    """Return a pod's phase by the kubelet's rules. `is_over`: no container of the pod will be started any more."""
    failed_init = any(record.exit_code for record in init_records)
    if failed_init and (restart_policy == "Never" or is_over):
        return "Failed"
    if any(record.exit_code != 0 for record in init_records) and not is_over:
        return "Pending"
    waits = [record for record in records if "waiting" in record.state and "terminated" not in record.last_state]
    codes = [record.exit_code for record in records]
    if is_over:
        return "Succeeded" if all(code == 0 for code in codes) else "Failed"
    if waits:
        return "Pending"
    if any(record.is_running for record in records) or restart_policy == "Always":
        return "Running"
    if all(code == 0 for code in codes):
        return "Succeeded"
    return "Failed" if restart_policy == "Never" else "Running"


def pod_status(
    pod: Object,
    init_records: Sequence[ContainerRecord],
    records: Sequence[ContainerRecord],
    *,
    start_time: str,
    now: datetime,
    previous: Sequence[Object],
    is_over: bool = False,
    failure: PodFailure | None = None,
) -> Object:
    """Return the fields of a pod's status that its node owns.

    Args:
        pod: the pod, of which only the spec is read.
        init_records: its init containers, in order.
        records: its containers, in order.
        start_time: when the node accepted the pod, RFC 3339.
        now: the time for conditions that change.
        previous: the conditions before; one that does not change keeps its transition time.
        is_over: no container of the pod will be started any more.
        failure: why the node ended the pod, if it did.
    """
    phase = pod_phase(pod["spec"].get("restartPolicy", "Always"), init_records, records, is_over=is_over)
    status: Object = {
        "phase": phase,
        "hostIP": HOST_IP,
        "hostIPs": [{"ip": HOST_IP}],
        "podIP": HOST_IP,
        "podIPs": [{"ip": HOST_IP}],
        "startTime": start_time,
        "conditions": [
            _with_transition_time(condition, previous, now) for condition in _conditions(phase, init_records, records)
        ],
        "containerStatuses": [_container_status(record, record.is_running) for record in records],
    }
    if init_records:
        status["initContainerStatuses"] = [_container_status(record, record.exit_code == 0) for record in init_records]
    if failure:
        status |= {"phase": "Failed", "reason": failure.reason, "message": failure.message}
    return status


def _container_status(record: ContainerRecord, ready: bool) -> Object:
    return {
        "name": record.name,
        "image": record.spec.get("image", ""),
        "imageID": record.spec.get("image", "") if record.container_id else "",
        "containerID": record.container_id,
        "ready": ready,
        "started": record.is_running,
        "restartCount": record.restarts,
        "state": record.state,
        "lastState": record.last_state,
    }


def _conditions(
    phase: str, init_records: Sequence[ContainerRecord], records: Sequence[ContainerRecord]
) -> list[Object]:
    incomplete = [record.name for record in init_records if record.exit_code != 0]
    unready = [record.name for record in records if not record.is_running]
    initialized: dict[str, Any] = {"type": "Initialized", "status": "True"}
    ready: dict[str, Any] = {"status": "True"}
    if phase == "Succeeded":
        initialized["reason"] = "PodCompleted"
        ready = {"status": "False", "reason": "PodCompleted"}
    elif incomplete:
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        initialized |= {"status": "False", "reason": "ContainersNotInitialized", "message": message}
    if phase == "Failed":
        ready = {"status": "False", "reason": "PodFailed"}
    elif unready and phase != "Succeeded":
        message = f"containers with unready status: [{' '.join(unready)}]"
        ready = {"status": "False", "reason": "ContainersNotReady", "message": message}
    has_sandbox = any(record.container_id for record in [*init_records, *records]) and phase not in (
        "Succeeded",
        "Failed",
    )
    return [
        {"type": "PodReadyToStartContainers", "status": str(has_sandbox)},
        initialized,
        {"type": "Ready", **ready},
        {"type": "ContainersReady", **ready},
        {"type": "PodScheduled", "status": "True"},
    ]


def _with_transition_time(condition: Object, previous: Sequence[Object], now: datetime) -> Object:
    """Return the condition with its last transition time."""
    before = next((other for other in previous if other["type"] == condition["type"]), None)
    same = before is not None and before["status"] == condition["status"]
    since = before.get("lastTransitionTime") if before and same else None
    # A strategic merge patch deletes only fields that are null in it.
    cleared = {"reason": None, "message": None, "lastProbeTime": None}
    return {**cleared, **condition, "lastTransitionTime": since or timestamp(now)}
