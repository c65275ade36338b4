"""A Job and its pods, read from the API's dicts into frozen values, and what a cache keeps of them for that.

A termination message is written by the training pod, so it is as untrusted as a report.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

from finetune_api.base import JsonObject
from finetune_api.printable import printable
from finetune_api.reasons import Reason
from finetune_api.values import sane
from finetune_api.well_known import LABEL_INDEX, LABEL_JOB_UID, LABEL_QUEUE, LABEL_RUN, TRAINER
from finetune_operator.job.names import (
    ANNOTATION_INSTALLATION,
    ANNOTATION_PROFILE,
    ANNOTATION_PROOF,
    ANNOTATION_REQUESTED,
)
from finetune_operator.job.observation import Cause, End, JobState, PodState, Terminated
from finetune_operator.job.report import Received, parse_final_report
from finetune_operator.job.shape import checked

_LABELS = (LABEL_JOB_UID, LABEL_RUN, LABEL_INDEX, LABEL_QUEUE)
_SCHEDULED, _READY, _DISRUPTED = "PodScheduled", "Ready", "DisruptionTarget"
_CONDITIONS = (_SCHEDULED, _READY, _DISRUPTED)
"""Of a pod, those that are read."""
_SHUT_DOWN = ("Terminated", Reason.NODE_SHUTDOWN, "Shutdown")
"""What kubelet gives a pod as its reason when the node is shut down, by version."""
_MISSED = (None, "", Reason.NODE_LOST, Reason.NODE_NOT_READY)
"""Why the control plane, which misses the node, says that a pod is not ready: kubelet always gives another reason."""

_UNIX_ZERO = datetime.fromtimestamp(0, UTC)
_LONGEST_TEXT = 1024
"""Of an annotation or image that a cache keeps. Ours are shorter; of others that bear our label there may be any number."""


def trim_job(raw: JsonObject) -> JsonObject:
    """The part of a Job that a cache keeps: what this file and ownership.py read. Raises whatever is wrong with it."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    return checked(
        {
            "metadata": _trim_metadata(raw["metadata"]),
            "spec": {**_only(spec, "suspend"), "template": {"spec": {"containers": _trim_containers(_template(spec))}}},
            "status": _only(status, "startTime", "completionTime", "conditions"),
        }
    )


def trim_pod(raw: JsonObject) -> JsonObject:
    """The part of a pod that a cache keeps: what this file and ownership.py read. Raises whatever is wrong with it."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    states = [_only(each, "name", "state") for each in status.get("containerStatuses") or [] if each["name"] == TRAINER]
    initial = [_only(each, "name", "state") for each in status.get("initContainerStatuses") or [] if _obstacle(each)]
    read = ("type", "status", "reason", "message", "lastTransitionTime")
    conditions = [_only(each, *read) for each in status.get("conditions") or [] if each["type"] in _CONDITIONS]
    return checked(
        {
            "metadata": _trim_metadata(raw["metadata"]),
            "spec": {**_only(spec, "nodeName"), "containers": _trim_containers(spec)},
            "status": {
                **_only(status, "phase", "reason", "message", "nominatedNodeName", "podIP"),
                "conditions": conditions,
                "containerStatuses": states,
                **({"initContainerStatuses": initial} if initial else {}),
            },
        }
    )


def _trim_containers(pod: JsonObject) -> list[JsonObject]:
    ours = [each for each in pod.get("containers") or [] if each["name"] == TRAINER]
    return [{name: str(each[name])[:_LONGEST_TEXT] for name in ("name", "image") if name in each} for each in ours]


def _template(job: JsonObject) -> JsonObject:
    """The spec of a Job's pods, from the Job's."""
    spec: JsonObject = (job.get("template") or {}).get("spec") or {}
    return spec


_DELETING = ("foregroundDeletion", "orphan")
"""Finalizers of Kubernetes' garbage collector, which goes on by itself."""


def _trim_metadata(metadata: JsonObject) -> JsonObject:
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    texts = _only(annotations, ANNOTATION_REQUESTED, ANNOTATION_PROOF, ANNOTATION_INSTALLATION)
    plain = ("namespace", "name", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
    return {
        **_only(metadata, *plain),
        # By what an object is kept that is to go.
        **(_only(metadata, "finalizers") if "deletionTimestamp" in metadata else {}),
        "ownerReferences": [each for each in metadata.get("ownerReferences") or [] if each.get("controller")][:1],
        "labels": _only(labels, *_LABELS),
        # That there is a profile is enough to know.
        "annotations": {
            **{name: text for name, text in texts.items() if len(text) <= _LONGEST_TEXT},
            **({ANNOTATION_PROFILE: ""} if ANNOTATION_PROFILE in annotations else {}),
        },
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
        proof=(metadata.get("annotations") or {}).get(ANNOTATION_PROOF),
        keeps_profile=ANNOTATION_PROFILE in (metadata.get("annotations") or {}),
        deleting="deletionTimestamp" in metadata,
        kept_by=tuple(each for each in metadata.get("finalizers") or () if each not in _DELETING),
        end=_end(status),
        version=metadata.get("resourceVersion") or "",
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
    pods = [_parse_pod(pod) for pod in sorted(raw, key=_age)]
    newest = next((place for place in reversed(range(len(pods))) if pods[place].index == 0), None)
    if newest is not None:
        pods[newest] = replace(pods[newest], report=reports.get(pods[newest].uid))
    return tuple(pods)


def _age(raw: JsonObject) -> tuple[str, bool, str, str, str]:
    """What orders pods by age. Kubernetes keeps the second: of those of one second, a pod that failed came before the one that
    replaced it, and the one that ended first came first."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    ended = ((_named(status.get("containerStatuses")) or {}).get("state") or {}).get("terminated") or {}
    times = ended.get("finishedAt") or "", ended.get("startedAt") or ""
    return metadata.get("creationTimestamp") or "", status.get("phase") != "Failed", *times, metadata["name"]


def _parse_pod(raw: JsonObject) -> PodState:
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    container = _named(status.get("containerStatuses")) or {}
    state = container.get("state") or {}
    terminated = _terminated(state, status)
    started = (state.get("running") or state.get("terminated") or {}).get("startedAt")
    final, unread = parse_final_report(_last_word(state)) if terminated else (None, "")
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
    return next((container for container in containers or [] if container.get("name") == TRAINER), None)


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
            message=_said_of_pod(status) or ended.get("message") or status.get("message") or "",
            finished=parse_time(ended.get("finishedAt")),
            disrupted=_disrupted(status),
        )
    if status.get("phase") == "Failed":
        initial = _failed_first(status) or Cause(Reason.POD_FAILED, "")
        reason, message = status.get("reason") or initial.reason, status.get("message") or initial.message
        return Terminated(None, reason, message, disrupted=_disrupted(status))
    return None


def _said_of_pod(status: JsonObject) -> str:
    """Why the node ended the whole pod, which no word of its container knows."""
    return (status.get("message") or "") if status.get("reason") else ""


def _last_word(state: JsonObject) -> str:
    """What the container itself left behind."""
    return (state.get("terminated") or {}).get("message") or ""


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


def worth_of_pod(raw: JsonObject) -> tuple[bool, int, str]:
    """How much a pod tells of its job beside others, where there are too many: what runs before what has ended; of the lesser class is what
    never ran, which costs nobody anything; of two the newer one."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    state = (_named(status.get("containerStatuses")) or {}).get("state") or {}
    ended, has_node = has_ended(raw), bool((raw.get("spec") or {}).get("nodeName"))
    rank = 3 if "running" in state and not ended else 2 if "terminated" in state else 1 if has_node and not ended else 0
    return rank > 1, rank, str(metadata.get("creationTimestamp"))


def worth_of_job(raw: JsonObject) -> tuple[bool, str]:
    """The same of a Job: one that has not ended before those that have; of two the newer one."""
    return parse_job(raw).end is None, str(raw["metadata"].get("creationTimestamp"))


def _text(value: object) -> str | None:
    return printable(value) if isinstance(value, str) else None


def _exit_code(value: object) -> int | None:
    """What a process can end with. Kubernetes takes any 32 bits, and a foreign kubelet or hand may write them."""
    if not isinstance(value, int):
        return None
    return value if -255 <= value <= 255 else 255


def parse_time(value: object) -> datetime | None:
    """A time as Kubernetes writes it. A pod's status is open to whoever may write it, so anything else is no time.

    Nor are Go's zero time (year 1), which Kubernetes writes where none was set, and that of Unix, which kubelets write for the start of a
    container that never ran.
    """
    return _parse_time(value) if isinstance(value, str) else None


@lru_cache(maxsize=1024)
def _parse_time(value: str) -> datetime | None:
    # Each object is read several times, and many are of the same second.
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return sane(moment) if moment.tzinfo and moment != _UNIX_ZERO else None
