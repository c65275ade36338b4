"""Server-side tables, whose columns `kubectl get` prints."""

import datetime
import json
from collections.abc import Callable
from typing import Any

from devcluster.apiserver.jsonpath import find
from devcluster.apiserver.objects import Object, lookup
from devcluster.apiserver.resources import Column, Resource

Cells = Callable[[Object], list[Any]]

_NAME_HELP = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a"
    " client to request the generation of an appropriate name automatically."
)


def column_definitions(resource: Resource) -> list[Object]:
    """Return the columns, in the order of `row`'s cells."""
    columns = list(_columns(resource))
    if resource.kind != "Event":  # the name of an Event is of little use: it comes last
        columns.insert(0, Column("Name", "string", "", _NAME_HELP, "name"))
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description
            or f"Custom resource definition column (in JSONPath format): {column.json_path}",
            "priority": column.priority,
        }
        for column in columns
    ]


def row(resource: Resource, obj: Object) -> list[Any]:
    """Return the cells of an object."""
    name = obj["metadata"]["name"]
    if not resource.is_custom and resource.kind in _BUILT_IN:
        cells = _BUILT_IN[resource.kind][1](obj)
        return cells if resource.kind == "Event" else [name, *cells]
    return [name, *(_cell(column, obj) for column in _columns(resource))]


def _columns(resource: Resource) -> tuple[Column, ...]:
    if resource.is_custom:
        return resource.columns
    if resource.kind in _BUILT_IN:
        return tuple(
            Column(name.removesuffix("+"), kind, "", name.removesuffix("+"), priority=int(name.endswith("+")))
            for name, kind in _BUILT_IN[resource.kind][0]
        )
    return (Column("Age", "date", ".metadata.creationTimestamp", "Age"),)


def _cell(column: Column, obj: Object) -> Any:
    """Return the value of a custom column; None if the object has none or one of another type."""
    found = find(column.json_path, obj)
    if not found:
        return None
    if column.type == "date":
        return age(found[0]) if isinstance(found[0], str) else "<unknown>"
    if column.type == "string":
        return _text(found[0]) if len(found) == 1 else " ".join(_text(value) for value in found)
    value = found[0]
    if column.type == "integer" and isinstance(value, int | float):
        return int(value)
    if column.type == "number" and isinstance(value, int | float):
        return int(value) if float(value).is_integer() else float(value)
    return value if column.type == "boolean" and isinstance(value, bool) else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))


def age(text: str | None) -> str:
    """Return the time since a timestamp in kubectl's format: 5s, 3m12s, 4h5m, 3d2h, 12d, 2y30d."""
    if not text:
        return "<unknown>"
    try:
        then = datetime.datetime.fromisoformat(text)
    except ValueError:
        return "<invalid>"
    return duration((datetime.datetime.now(datetime.UTC) - then).total_seconds())


def duration(seconds: float) -> str:
    """Return a duration in kubectl's format, in at most two units."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    minutes, hours, days, years = whole // 60, whole // 3600, whole // 86400, whole // (86400 * 365)
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first}{unit}{second}{smaller}" if second else f"{first}{unit}"


def _age(obj: Object) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _pod(pod: Object) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    states = status.get("containerStatuses") or []
    ready = sum(bool(state.get("ready")) for state in states)
    restarts = sum(state.get("restartCount", 0) for state in states)
    shown = f"{ready}/{len(spec.get('containers') or ())}"
    return [
        shown, pod_reason(pod), str(restarts), _age(pod),
        status.get("podIP") or "<none>", spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>", "<none>",
    ]  # fmt: skip


def pod_reason(pod: Object) -> str:
    """Return the STATUS of a pod: why a container waits or ended, else the phase."""
    status = pod.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or "Unknown")
    for index, state in enumerate(status.get("initContainerStatuses") or ()):
        ended, waiting = lookup(state, "state.terminated"), lookup(state, "state.waiting")
        if ended and ended.get("exitCode") == 0:
            continue
        total = len((pod.get("spec") or {}).get("initContainers") or ())
        word = f"{index}/{total}"
        if ended:
            word = ended.get("reason") or f"ExitCode:{ended.get('exitCode')}"
        elif waiting and waiting.get("reason") not in (None, "PodInitializing"):
            word = waiting["reason"]
        return "Terminating" if pod["metadata"].get("deletionTimestamp") else f"Init:{word}"
    for state in reversed(status.get("containerStatuses") or ()):
        ended, waiting = lookup(state, "state.terminated"), lookup(state, "state.waiting")
        if waiting and waiting.get("reason"):
            reason = waiting["reason"]
        elif ended:
            reason = ended.get("reason") or f"ExitCode:{ended.get('exitCode')}"
    if pod["metadata"].get("deletionTimestamp") and status.get("phase") not in ("Succeeded", "Failed"):
        return "Terminating"
    return reason


def _job(job: Object) -> list[Any]:
    spec, status = job.get("spec") or {}, job.get("status") or {}
    conditions = {c["type"] for c in status.get("conditions") or () if c.get("status") == "True"}
    state = next(
        (
            word
            for word in ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet")
            if word in conditions
        ),
        "Running",
    )
    state = {"FailureTarget": "FailureTarget", "SuccessCriteriaMet": "SuccessCriteriaMet"}.get(state, state)
    if job["metadata"].get("deletionTimestamp"):
        state = "Terminating"
    succeeded, completions = status.get("succeeded", 0), spec.get("completions")
    wanted = str(completions) if completions is not None else f"1 of {spec.get('parallelism', 1)}"
    containers = lookup(job, "spec.template.spec.containers") or []
    selector = lookup(job, "spec.selector.matchLabels") or {}
    return [
        state, f"{succeeded}/{wanted}", _elapsed(status), _age(job),
        ",".join(container["name"] for container in containers),
        ",".join(container.get("image", "") for container in containers),
        ",".join(f"{key}={value}" for key, value in selector.items()),
    ]  # fmt: skip


def _elapsed(status: Object) -> str:
    start, end = status.get("startTime"), status.get("completionTime")
    if not start:
        return ""
    finish = datetime.datetime.fromisoformat(end) if end else datetime.datetime.now(datetime.UTC)
    return duration((finish - datetime.datetime.fromisoformat(start)).total_seconds())


def _claim(claim: Object) -> list[Any]:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    phase = "Terminating" if claim["metadata"].get("deletionTimestamp") else status.get("phase", "")
    bound = bool(spec.get("volumeName"))
    return [
        phase, spec.get("volumeName", ""), lookup(status, "capacity.storage") or "" if bound else "",
        _modes(status.get("accessModes")) if bound else "", spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>", _age(claim), spec.get("volumeMode") or "<unset>",
    ]  # fmt: skip


def _volume(volume: Object) -> list[Any]:
    spec, status = volume.get("spec") or {}, volume.get("status") or {}
    claim = spec.get("claimRef") or {}
    phase = "Terminating" if volume["metadata"].get("deletionTimestamp") else status.get("phase", "")
    return [
        lookup(spec, "capacity.storage") or "", _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""), phase,
        f"{claim['namespace']}/{claim['name']}" if claim else "", spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>", status.get("reason", ""), _age(volume),
        spec.get("volumeMode") or "<unset>",
    ]  # fmt: skip


def _modes(modes: list[str] | None) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return ",".join(short.get(mode, mode) for mode in modes or ())


def _event(event: Object) -> list[Any]:
    regarding = event.get("involvedObject") or event.get("regarding") or {}
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp") or event.get("eventTime")
    last = lookup(event, "series.lastObservedTime") or last or event["metadata"].get("creationTimestamp")
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime") or last
    source = event.get("source") or event.get("deprecatedSource") or {}
    component = source.get("component") or event.get("reportingComponent") or event.get("reportingController") or ""
    count = event.get("count") or event.get("deprecatedCount") or lookup(event, "series.count") or 1
    return [
        age(last), event.get("type", ""), event.get("reason", ""),
        f"{regarding.get('kind', '').lower()}/{regarding.get('name', '')}", regarding.get("fieldPath", ""), component,
        (event.get("message") or event.get("note") or "").strip(), age(first), count, event["metadata"]["name"],
    ]  # fmt: skip


def _node(node: Object) -> list[Any]:
    status, spec = node.get("status") or {}, node.get("spec") or {}
    ready = next((c.get("status") for c in status.get("conditions") or () if c["type"] == "Ready"), "Unknown")
    words = ["Ready" if ready == "True" else "NotReady"] + (["SchedulingDisabled"] if spec.get("unschedulable") else [])
    prefix = "node-role.kubernetes.io/"
    roles = [label.removeprefix(prefix) for label in node["metadata"].get("labels") or () if label.startswith(prefix)]
    info = status.get("nodeInfo") or {}
    addresses = {address["type"]: address["address"] for address in status.get("addresses") or ()}
    return [
        ",".join(words), ",".join(sorted(roles)) or "<none>", _age(node), info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"), addresses.get("ExternalIP", "<none>"),
        info.get("osImage") or "<unknown>", info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]  # fmt: skip


def _service(service: Object) -> list[Any]:
    spec = service.get("spec") or {}
    ports = ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ())
    selector = ",".join(f"{key}={value}" for key, value in (spec.get("selector") or {}).items())
    return [
        spec.get("type", ""), spec.get("clusterIP") or "<none>", "<none>", ports or "<none>", _age(service),
        selector or "<none>",
    ]  # fmt: skip


def _deployment(deployment: Object) -> list[Any]:
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [ready, status.get("updatedReplicas", 0), status.get("availableReplicas", 0), _age(deployment)]


def _definition(crd: Object) -> list[Any]:
    return [crd["metadata"].get("creationTimestamp")]


def _columns_of(text: str) -> tuple[tuple[str, str], ...]:
    names = [name.strip() for name in text.split(",")]
    return tuple((name, "string") for name in names)


# Columns and cells by kind, without the name; a trailing + marks those that only `-o wide` shows.
_BUILT_IN: dict[str, tuple[tuple[tuple[str, str], ...], Cells]] = {
    "ConfigMap": (
        _columns_of("Data, Age"),
        lambda obj: [len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _age(obj)],
    ),
    "Secret": (
        _columns_of("Type, Data, Age"),
        lambda obj: [obj.get("type", ""), len(obj.get("data") or {}), _age(obj)],
    ),
    "Namespace": (_columns_of("Status, Age"), lambda obj: [lookup(obj, "status.phase"), _age(obj)]),
    "Pod": (_columns_of("Ready, Status, Restarts, Age, IP+, Node+, Nominated Node+, Readiness Gates+"), _pod),
    "Job": (_columns_of("Status, Completions, Duration, Age, Containers+, Images+, Selector+"), _job),
    "PersistentVolumeClaim": (
        _columns_of("Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode+"),
        _claim,
    ),
    "PersistentVolume": (
        _columns_of(
            "Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, VolumeAttributesClass, Reason, Age,"
            " VolumeMode+"
        ),
        _volume,
    ),
    "Event": (
        _columns_of(
            "Last Seen, Type, Reason, Object, Subobject+, Source+, Message, First Seen+, Count+, Name+",
        ),
        _event,
    ),
    "Node": (
        _columns_of(
            "Status, Roles, Age, Version, Internal-IP+, External-IP+, OS-Image+, Kernel-Version+, Container-Runtime+"
        ),
        _node,
    ),
    "Service": (_columns_of("Type, Cluster-IP, External-IP, Port(s), Age, Selector+"), _service),
    "Deployment": (
        _columns_of("Ready, Up-to-date, Available, Age"),
        _deployment,
    ),
    "CustomResourceDefinition": (_columns_of("Created At"), _definition),
    "ValidatingAdmissionPolicy": (
        _columns_of("Validations, ParamKind, Age"),
        lambda obj: [len(lookup(obj, "spec.validations") or ()), "<unset>", _age(obj)],
    ),
    "ValidatingAdmissionPolicyBinding": (
        _columns_of("PolicyName, ParamRef, Age"),
        lambda obj: [lookup(obj, "spec.policyName"), "<unset>", _age(obj)],
    ),
    "Lease": (
        _columns_of("Holder, Age"),
        lambda obj: [lookup(obj, "spec.holderIdentity") or "", _age(obj)],
    ),
}
