"""The pods of a Job: how they are created, and what their fields say."""

import copy
from collections.abc import Iterable
from datetime import datetime

from devcluster.client import Object
from devcluster.events import parse_timestamp

TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
JOB_NAME = "batch.kubernetes.io/job-name"
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"

# The API server adds five random characters and keeps names within 63.
_MAX_GENERATE_NAME = 58


def pod_for(job: Object, index: int | None) -> Object:
    """Return a new pod of a Job; `index` is its completion index, None unless the Job is Indexed."""
    template = copy.deepcopy(job["spec"]["template"])
    metadata, name = job["metadata"], job["metadata"]["name"]
    labels = {
        **((template.get("metadata") or {}).get("labels") or {}),
        CONTROLLER_UID: metadata["uid"],
        JOB_NAME: name,
        # Labels without a domain are from before Kubernetes 1.27, and are still set.
        "controller-uid": metadata["uid"],
        "job-name": name,
    }
    annotations = dict((template.get("metadata") or {}).get("annotations") or {})
    spec = template["spec"]
    prefix = f"{name}-"
    if index is not None:
        labels[INDEX] = annotations[INDEX] = str(index)
        spec.setdefault("hostname", f"{name}-{index}")
        prefix = f"{name}-{index}-"
        for container in [*spec["containers"], *(spec.get("initContainers") or [])]:
            _set_index_variable(container)
    if len(prefix) > _MAX_GENERATE_NAME:
        prefix = prefix[: _MAX_GENERATE_NAME - 1] + "-"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": prefix,
            "namespace": metadata["namespace"],
            "labels": labels,
            **({"annotations": annotations} if annotations else {}),
            "finalizers": [TRACKING_FINALIZER],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": name,
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": spec,
    }


def _set_index_variable(container: Object) -> None:
    environment = container.setdefault("env", [])
    if not any(variable["name"] == "JOB_COMPLETION_INDEX" for variable in environment):
        field = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
        environment.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": field})


def phase_of(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def is_finished(pod: Object) -> bool:
    return phase_of(pod) in ("Succeeded", "Failed")


def is_deleted(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_active(pod: Object) -> bool:
    return not is_finished(pod) and not is_deleted(pod)


def is_terminating(pod: Object) -> bool:
    return is_deleted(pod) and not is_finished(pod)


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def is_tracked(pod: Object) -> bool:
    """Return whether the pod has the Job's finalizer, so that it is not counted yet."""
    return TRACKING_FINALIZER in (pod["metadata"].get("finalizers") or [])


def uid_of(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def index_of(pod: Object) -> int:
    """Return the completion index; -1 for a pod without one."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isdigit() else -1


def restarts_of(pod: Object) -> int:
    status = pod.get("status") or {}
    return sum(
        int(container["restartCount"])
        for key in ("initContainerStatuses", "containerStatuses")
        for container in status.get(key) or []
    )


def finish_time(pod: Object, default: datetime) -> datetime:
    """Return when the last container of a finished pod ended; `default` if no status has a time."""
    times = [
        parse_timestamp(terminated["finishedAt"])
        for container in (pod.get("status") or {}).get("containerStatuses") or []
        if (terminated := (container.get("state") or {}).get("terminated")) and terminated.get("finishedAt")
    ]
    return max(times, default=default)


def format_indexes(indexes: Iterable[int]) -> str:
    """Return `{0, 2, 3, 4}` as `0,2-4`, the format of `status.completedIndexes`."""
    runs: list[tuple[int, int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], index
        else:
            runs.append((index, index))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_indexes(text: str) -> set[int]:
    """Parse the format of `format_indexes`."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
