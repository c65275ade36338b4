"""What the cluster holds of a job, read from the API's dicts into frozen values. Nothing is decided here.

A termination message is written by the training pod, so it is as untrusted as a report.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from finetune_api.base import JsonObject
from finetune_api.printable import printable
from finetune_api.reasons import Reason
from finetune_api.report import NOT_COUNTED, FinalReport
from finetune_api.status import sane
from finetune_operator.job.names import ANNOTATION_REQUESTED, CONTAINER, LABEL_INDEX, LABEL_JOB_UID, LABEL_RUN
from finetune_operator.job.report import Received, parse_final_report

LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
_LABELS = (LABEL_JOB_UID, LABEL_RUN, LABEL_INDEX, LABEL_QUEUE)
_SCHEDULED, _READY, _DISRUPTED = "PodScheduled", "Ready", "DisruptionTarget"
_CONDITIONS = (_SCHEDULED, _READY, _DISRUPTED)
"""Of a pod, those that are read."""
_SHUT_DOWN = ("Terminated", Reason.NODE_SHUTDOWN, "Shutdown")
"""What kubelet gives a pod as its reason when the node is shut down, by version."""
_MISSED = (None, "", Reason.NODE_LOST, Reason.NODE_NOT_READY)
"""Why the control plane, which misses the node, says that a pod is not ready: kubelet always gives another reason."""
_START = timedelta(seconds=5)
"""A pod that takes longer on its node may lack something."""


@dataclass(frozen=True)
class Cause:
    """A reason in CamelCase and a message for people, of whoever: printable, and on one line."""

    reason: str
    message: str
    times: int = 1
    """How often it came."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", printable(self.reason))
        object.__setattr__(self, "message", printable(self.message))


@dataclass(frozen=True)
class End:
    """How the Job ended, by its condition Complete or Failed."""

    succeeded: bool
    cause: Cause
    time: datetime | None


@dataclass(frozen=True)
class JobState:
    """A batch/v1 Job."""

    name: str
    uid: str
    suspended: bool
    start_time: datetime | None = None
    """When it was admitted: absent while it is suspended."""
    created: datetime | None = None
    queue: str | None = None
    image: str | None = None
    """What its pods run."""
    requested: str | None = None
    """The annotation with what the operator last requested."""
    deleting: bool = False
    end: End | None = None


@dataclass(frozen=True)
class Terminated:
    """How the trainer's container ended; without an exit code if it never ran."""

    exit_code: int | None
    reason: str
    message: str = ""
    """The final report, or the end of the log."""
    finished: datetime | None = None
    disrupted: Cause | None = None
    """Why Kubernetes ended the pod, which is no fault of the trainer: preemption, eviction, a node that goes away."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", printable(self.reason))
        object.__setattr__(self, "message", printable(self.message, lines=True))

    @property
    def counted(self) -> bool:
        """Whether such a failure uses up `runPolicy.backoffLimit`, as the Job's podFailurePolicy has it."""
        return self.disrupted is None and self.exit_code not in NOT_COUNTED


@dataclass(frozen=True)
class PodState:
    """One pod of the Job."""

    name: str
    uid: str
    index: int = 0
    """Its number among the pods that train together."""
    created: datetime | None = None
    scheduled: datetime | None = None
    """When it got its node."""
    node: str | None = None
    nominated: str | None = None
    """The node on which other pods are preempted for it."""
    address: str | None = None
    image: str | None = None
    started: datetime | None = None
    """When the container began to run."""
    running: bool = False
    waiting: Cause | None = None
    """Why the container does not run yet."""
    missed_since: datetime | None = None
    """From when on the control plane has not heard of its node."""
    gone_by: datetime | None = None
    """When the time that it has to end is over: it is being deleted."""
    disrupted: Cause | None = None
    """Why Kubernetes takes it away: preemption, eviction, a node that goes away."""
    terminated: Terminated | None = None
    report: Received | None = None
    """The last report, if this is the pod that reports: the first of the newest attempt."""
    final: FinalReport | None = None
    unread: str = ""
    """Fields of its final report that cannot be read, and were left out."""


@dataclass(frozen=True)
class Hearing:
    """What the operator itself knows of the reports of a pod."""

    since: datetime
    """From when on it would have had them."""
    trouble: str = ""
    """What the last connection of the pod came to nothing of."""


@dataclass(frozen=True)
class FormerRuns:
    """What is still there of runs before the present one."""

    jobs: tuple[JobState, ...] = ()
    pods: tuple[str, ...] = ()
    """Names of the pods that have not ended."""


@dataclass(frozen=True)
class Observation:
    """Everything that a status is computed from, besides the FineTuneJob itself and the time."""

    job: JobState | None = None
    """The Job that trains; in `preflight` the one that checks before it."""
    pods: tuple[PodState, ...] = ()
    """In the order of their creation."""
    unread: str = ""
    """What was wrong with a report that could not be read, and was dropped."""
    blocked: Cause | None = None
    """What keeps children from being made, or a pod from coming, as the API server or an Event explains it."""
    refused: Cause | None = None
    """Why the API server will never take a child as the spec asks for it."""
    check_first: bool = False
    """Whether a preflight is to be made before the Job that trains."""
    hearing: Hearing | None = None
    """Of the newest pod that is to report."""
    output_bound: bool = False
    """Whether the claim of the output is bound to a volume. Looked up for a preflight that is about to be made."""
    former: FormerRuns | None = None
    """What has to end before the run begins."""
    preflight: "Observation | None" = None
    """The preflight in a pod of its own, as long as no attempt to train is known."""

    @property
    def passed(self) -> bool:
        """Whether the Job has succeeded."""
        return self.job is not None and self.job.end is not None and self.job.end.succeeded

    @property
    def reporting(self) -> frozenset[str]:
        """The uids of the pods that reported anything."""
        own = frozenset(pod.uid for pod in self.pods if pod.report is not None or pod.final is not None)
        return own | self.preflight.reporting if self.preflight is not None else own

    def without_reports(self, uids: Collection[str], why: str) -> "Observation":
        """The same without anything that the pods of these uids reported, and `why` that is."""
        bare = tuple(replace(pod, report=None, final=None, unread="") if pod.uid in uids else pod for pod in self.pods)
        preflight = self.preflight.without_reports(uids, why) if self.preflight is not None else None
        return replace(self, pods=bare, preflight=preflight, unread=self.unread or why)

    @property
    def under_way(self) -> "Observation":
        """The stage that the job has reached: the preflight, or the training."""
        return self.preflight if self.job is None and self.preflight is not None else self

    @property
    def attempts(self) -> tuple[PodState, ...]:
        """The first pod of each attempt, which reports for all; the last is the present attempt."""
        return tuple(pod for pod in self.pods if pod.index == 0)

    @property
    def newest(self) -> tuple[PodState, ...]:
        """The newest pod of each index, in the order of their indexes: those that are to train together now."""
        by_index = {pod.index: pod for pod in self.pods}
        return tuple(by_index[index] for index in sorted(by_index))

    def stuck(self, now: datetime) -> str | None:
        """The uid of a pod that has a node and does not start on it, as one does that lacks a file; None if there is none."""
        late = (pod for pod in self.newest if pod.node and pod.waiting and pod.created and now - pod.created >= _START)
        return next((pod.uid for pod in late), None)

    def began(self, attempt: PodState, nodes: int) -> datetime | None:
        """When an attempt began to run: with the last of its `nodes` pods, since none trains without the others."""
        if nodes == 1:
            return attempt.started
        if attempt is not self.attempts[-1] or len(self.newest) < nodes:
            return None
        starts = [pod.started for pod in self.newest]
        return None if None in starts else max(start for start in starts if start)


def trim_job(raw: JsonObject) -> JsonObject:
    """The part of a Job that a cache keeps: what this file and ownership.py read."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    return {
        "metadata": _trim_metadata(raw["metadata"]),
        "spec": {**_only(spec, "suspend"), "template": {"spec": {"containers": _trim_containers(_template(spec))}}},
        "status": _only(status, "startTime", "completionTime", "conditions"),
    }


def trim_pod(raw: JsonObject) -> JsonObject:
    """The part of a pod that a cache keeps: what this file and ownership.py read."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    states = [
        _only(each, "name", "state") for each in status.get("containerStatuses") or [] if each["name"] == CONTAINER
    ]
    initial = [_only(each, "name", "state") for each in status.get("initContainerStatuses") or [] if _obstacle(each)]
    read = ("type", "status", "reason", "message", "lastTransitionTime")
    conditions = [_only(each, *read) for each in status.get("conditions") or [] if each["type"] in _CONDITIONS]
    return {
        "metadata": _trim_metadata(raw["metadata"]),
        "spec": {**_only(spec, "nodeName"), "containers": _trim_containers(spec)},
        "status": {
            **_only(status, "phase", "reason", "message", "nominatedNodeName", "podIP"),
            "conditions": conditions,
            "containerStatuses": states,
            **({"initContainerStatuses": initial} if initial else {}),
        },
    }


def _trim_containers(pod: JsonObject) -> list[JsonObject]:
    return [_only(each, "name", "image") for each in pod.get("containers") or [] if each["name"] == CONTAINER]


def _template(job: JsonObject) -> JsonObject:
    """The spec of a Job's pods, from the Job's."""
    spec: JsonObject = (job.get("template") or {}).get("spec") or {}
    return spec


def _trim_metadata(metadata: JsonObject) -> JsonObject:
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    plain = ("namespace", "name", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
    return {
        **_only(metadata, *plain),
        "ownerReferences": [each for each in metadata.get("ownerReferences") or [] if each.get("controller")][:1],
        "labels": _only(labels, *_LABELS),
        "annotations": _only(annotations, ANNOTATION_REQUESTED),
    }


def _only(fields: JsonObject, *names: str) -> JsonObject:
    return {name: fields[name] for name in names if name in fields}


def parse_job(raw: JsonObject) -> JobState:
    """Read a batch/v1 Job."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    return JobState(
        name=metadata["name"],
        uid=metadata["uid"],
        suspended=spec.get("suspend") is True,
        start_time=parse_time(status.get("startTime")),
        created=parse_time(metadata.get("creationTimestamp")),
        queue=(metadata.get("labels") or {}).get(LABEL_QUEUE),
        image=_text((_named(_template(spec).get("containers")) or {}).get("image")),
        requested=(metadata.get("annotations") or {}).get(ANNOTATION_REQUESTED),
        deleting="deletionTimestamp" in metadata,
        end=_end(status),
    )


def _end(status: JsonObject) -> End | None:
    for condition in status.get("conditions") or []:
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            succeeded = condition["type"] == "Complete"
            cause = Cause(condition.get("reason") or condition["type"], condition.get("message") or "")
            time = (succeeded and status.get("completionTime")) or condition.get("lastTransitionTime")
            return End(succeeded, cause, parse_time(time))
    return None


def parse_pods(raw: Iterable[JsonObject], reports: Mapping[str, Received] = {}) -> tuple[PodState, ...]:
    """Read the pods of one Job, oldest first. `reports` holds the last report of a pod by the pod's uid."""
    ordered = sorted(raw, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]))
    pods = [_parse_pod(pod) for pod in ordered]
    newest = next((place for place in reversed(range(len(pods))) if pods[place].index == 0), None)
    if newest is not None:
        pods[newest] = replace(pods[newest], report=reports.get(pods[newest].uid))
    return tuple(pods)


def _parse_pod(raw: JsonObject) -> PodState:
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    container = _named(status.get("containerStatuses")) or {}
    state = container.get("state") or {}
    terminated = _terminated(state, status)
    started = (state.get("running") or state.get("terminated") or {}).get("startedAt")
    final, unread = parse_final_report(terminated.message) if terminated else (None, "")
    running = "running" in state and terminated is None
    scheduled = _condition(status, _SCHEDULED, "True") or {}
    return PodState(
        name=metadata["name"],
        uid=metadata["uid"],
        index=_index(metadata),
        created=parse_time(metadata.get("creationTimestamp")),
        scheduled=parse_time(scheduled.get("lastTransitionTime")),
        address=_text(status.get("podIP")),
        nominated=_text(status.get("nominatedNodeName")),
        node=_text(spec.get("nodeName")),
        image=_text((_named(spec.get("containers")) or {}).get("image")),
        started=parse_time(started),
        running=running,
        waiting=None if terminated or running else _waiting(state, status),
        missed_since=_missed_since(status) if running else None,
        gone_by=parse_time(metadata.get("deletionTimestamp")),
        disrupted=_disrupted(status),
        terminated=terminated,
        final=final,
        unread=unread,
    )


def _index(metadata: JsonObject) -> int:
    # The label and not the annotation of that name: a user can set annotations of the pod.
    text = (metadata.get("labels") or {}).get(LABEL_INDEX, "")
    return int(text) if text.isdecimal() else 0


def _named(containers: list[JsonObject] | None) -> JsonObject | None:
    # A webhook may have put a sidecar before ours.
    return next((container for container in containers or [] if container.get("name") == CONTAINER), None)


def _condition(status: JsonObject, kind: str, value: str) -> JsonObject | None:
    conditions: list[JsonObject] = status.get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind and c.get("status") == value), None)


def _terminated(state: JsonObject, status: JsonObject) -> Terminated | None:
    ended = state.get("terminated")
    if ended:
        return Terminated(
            exit_code=_exit_code(ended.get("exitCode")),
            # An eviction is in the status of the pod; that of the container only holds that it was killed.
            reason=status.get("reason") or ended.get("reason") or "",
            message=ended.get("message") or status.get("message") or "",
            finished=parse_time(ended.get("finishedAt")),
            disrupted=_disrupted(status),
        )
    if status.get("phase") == "Failed":
        initial = _failed_first(status) or Cause(Reason.POD_FAILED, "")
        reason, message = status.get("reason") or initial.reason, status.get("message") or initial.message
        return Terminated(None, reason, message, disrupted=_disrupted(status))
    return None


def _missed_since(status: JsonObject) -> datetime | None:
    """Since when a pod whose container runs is not ready by the word of the control plane, and not of kubelet."""
    unready = _condition(status, _READY, "False")
    if unready is None or unready.get("reason") not in _MISSED:
        return None
    return parse_time(unready.get("lastTransitionTime"))


def _disrupted(status: JsonObject) -> Cause | None:
    # https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    target = _condition(status, _DISRUPTED, "True")
    if target is None:
        return None
    reason = status.get("reason") or target.get("reason") or Reason.DISRUPTED
    if reason in _SHUT_DOWN:
        reason = Reason.NODE_SHUTDOWN
    return Cause(reason, status.get("message") or target.get("message") or "")


def _waiting(state: JsonObject, status: JsonObject) -> Cause:
    unscheduled = _condition(status, _SCHEDULED, "False")
    if unscheduled:
        return Cause(unscheduled.get("reason") or Reason.UNSCHEDULABLE, unscheduled.get("message") or "")
    initial = _failed_first(status)
    if initial is not None:
        return initial
    waiting = state.get("waiting") or {}
    return Cause(waiting.get("reason") or Reason.CONTAINER_CREATING, waiting.get("message") or "")


def _failed_first(status: JsonObject) -> Cause | None:
    return next(filter(None, map(_obstacle, status.get("initContainerStatuses") or [])), None)


def _obstacle(initial: JsonObject) -> Cause | None:
    """Why an init container keeps the trainer from starting: a webhook of the cluster may have put one in."""
    state, name = initial.get("state") or {}, f"init container {initial.get('name')}"
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    if waiting.get("message"):
        return Cause(Reason.INIT_CONTAINER_FAILED, f"{name}: {waiting['message']}")
    if ended.get("exitCode"):
        return Cause(Reason.INIT_CONTAINER_FAILED, f"{name} ended with exit code {ended['exitCode']}")
    return None


def has_ended(raw: JsonObject) -> bool:
    """Whether a pod has ended, so that its status holds how."""
    return (raw.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _text(value: object) -> str | None:
    return printable(value) if isinstance(value, str) else None


def _exit_code(value: object) -> int | None:
    """What a process can end with. Kubernetes takes any 32 bits, and a foreign kubelet or hand may write them."""
    if not isinstance(value, int):
        return None
    return value if -255 <= value <= 255 else 255


def parse_time(value: object) -> datetime | None:
    """A time as Kubernetes writes it. A pod's status is open to whoever may write it, so anything else is no time.

    Nor is Go's zero time (year 1), which Kubernetes writes where none was set.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return sane(moment) if moment.tzinfo else None
