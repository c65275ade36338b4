"""Defaults and validation of pods and pod templates, as far as clients rely on them."""

from devcluster.apiserver.cel.library import parse_quantity
from devcluster.apiserver.errors import FieldError, forbidden_field, required, unsupported
from devcluster.apiserver.objects import Object, lookup

_POLICIES = ("Always", "OnFailure", "Never")
# Mutable in a pod's spec after creation, beside its containers' images.
_MUTABLE = (
    "activeDeadlineSeconds",
    "tolerations",
    "terminationGracePeriodSeconds",
    "schedulingGates",
    "ephemeralContainers",
)


def default_pod_spec(spec: Object) -> None:
    """Fill in the defaults of a PodSpec."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        if isinstance(container, dict):
            _default_container(container)
    for volume in spec.get("volumes") or ():
        if isinstance(volume, dict):
            _default_volume(volume)


def _default_container(container: Object) -> None:
    image = container.get("image") or ""
    latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    container.setdefault("imagePullPolicy", "Always" if latest and "@" not in image else "IfNotPresent")
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container["resources"]
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        if isinstance(reference := lookup(variable, "valueFrom.fieldRef"), dict):
            reference.setdefault("apiVersion", "v1")
        if isinstance(resource := lookup(variable, "valueFrom.resourceFieldRef"), dict):
            resource.setdefault("divisor", "0")


def _default_volume(volume: Object) -> None:
    if not set(volume) - {"name"}:
        volume["emptyDir"] = {}
    for source in ("configMap", "secret", "projected", "downwardAPI"):
        if isinstance(volume.get(source), dict):
            volume[source].setdefault("defaultMode", 420)
    for projection in (volume.get("projected") or {}).get("sources") or ():
        if isinstance(projection.get("serviceAccountToken"), dict):
            projection["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    listed = [volume.get("downwardAPI"), *((volume.get("projected") or {}).get("sources") or ())]
    for source in listed:
        items = (source or {}).get("items") or ((source or {}).get("downwardAPI") or {}).get("items") or ()
        for item in items:
            if isinstance(item.get("fieldRef"), dict):
                item["fieldRef"].setdefault("apiVersion", "v1")
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")


def admit_pod(pod: Object) -> None:
    """Set what admission adds to a new pod: service account, priority, the default tolerations, a Pending status."""
    spec = pod["spec"]
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    tolerations = spec.setdefault("tolerations", [])
    for taint in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(toleration.get("key") == taint for toleration in tolerations):
            tolerations.append({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}


def qos_class(spec: Object) -> str:
    """Return Guaranteed, Burstable or BestEffort, by the containers' cpu and memory."""
    asked, guaranteed = False, True
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        resources = container.get("resources") or {}
        for name in ("cpu", "memory"):
            request, limit = (
                parse_quantity(str((resources.get(kind) or {}).get(name, "0"))) for kind in ("requests", "limits")
            )
            asked = asked or bool(request or limit)
            guaranteed = guaranteed and bool(limit) and request == limit
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def check_pod_spec(spec: Object, path: str) -> list[FieldError]:
    """Validate a pod's spec beyond its schema, for the mistakes that manifests really have."""
    errors: list[FieldError] = []
    if not spec.get("containers"):
        errors.append(required(f"{path}.containers"))
    if spec.get("restartPolicy") not in _POLICIES:
        errors.append(unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), _POLICIES))
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    seen: set[str] = set()
    for word in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(word) or ()):
            errors += _check_container(container, f"{path}.{word}[{index}]", volumes, seen)
    return errors


def _check_container(container: Object, path: str, volumes: set[str], seen: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    name = container.get("name")
    if not name:
        errors.append(required(f"{path}.name"))
    elif name in seen:
        errors.append(FieldError(f"{path}.name", "FieldValueDuplicate", f'Duplicate value: "{name}"'))
    seen.add(name or "")
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            where = f"{path}.volumeMounts[{index}].name"
            errors.append(FieldError(where, "FieldValueNotFound", f'Not found: "{mount.get("name")}"'))
        if not mount.get("mountPath"):
            errors.append(required(f"{path}.volumeMounts[{index}].mountPath"))
    return errors


def check_pod_update(new: Object, old: Object) -> list[FieldError]:
    """Validate an update: a pod's spec is immutable but for images, deadline and tolerations."""
    if _fixed(new) == _fixed(old):
        return []
    detail = (
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    return [forbidden_field("spec", detail)]


def _fixed(spec: Object) -> Object:
    kept = {name: value for name, value in spec.items() if name not in _MUTABLE}
    for word in ("containers", "initContainers"):
        if word in kept:
            kept[word] = [{key: value for key, value in item.items() if key != "image"} for item in kept[word]]
    return kept
