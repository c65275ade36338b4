"""Defaults and validation of the built-in kinds: what the API server does, not its controllers."""

import base64
from collections.abc import Callable

from devcluster.apiserver.errors import FieldError, forbidden_field, immutable, invalid_value, required
from devcluster.apiserver.kinds import admission_policies, crds, jobs, pods, services
from devcluster.apiserver.objects import Object


def default(kind: str, obj: Object) -> None:
    """Fill in the defaults of a built-in kind, in place, on every write."""
    fill = _DEFAULTS.get(kind)
    if fill:
        fill(obj, obj.get("spec") or {})


def admit(kind: str, obj: Object) -> None:
    """Set in place what is set at creation only. The object has been validated."""
    match kind:
        case "Pod":
            pods.admit_pod(obj)
        case "Job":
            jobs.admit_job(obj)
        case "Namespace":
            obj["spec"] = {"finalizers": ["kubernetes"]}
            obj["status"] = {"phase": "Active"}
        case "PersistentVolumeClaim" | "PersistentVolume":
            obj["status"] = {"phase": "Pending"}
        case "Service":
            obj["status"] = {"loadBalancer": {}}
        case "ValidatingAdmissionPolicy":
            obj["status"] = {"observedGeneration": 1, "typeChecking": {}}
        case "CustomResourceDefinition":
            obj["status"] = {}
            obj.update(crds.with_established_status(obj))


def check(kind: str, obj: Object) -> list[FieldError]:
    """Validate an object beyond its schema."""
    spec = obj.get("spec") or {}
    match kind:
        case "Pod":
            return pods.check_pod_spec(spec, "spec")
        case "Job":
            return jobs.check_job(spec, obj["metadata"].get("name") or "")
        case "Service":
            return services.check_service(spec)
        case "PersistentVolumeClaim":
            return _check_claim(spec)
        case "CustomResourceDefinition":
            return crds.check_definition(obj)
        case "ValidatingAdmissionPolicy":
            return admission_policies.check_policy(spec)
        case "ValidatingAdmissionPolicyBinding":
            return admission_policies.check_binding(spec)
        case "ConfigMap" | "Secret":
            return _check_data_keys(obj)
        case "Event":
            return _check_event(obj)
    return []


def check_update(kind: str, new: Object, old: Object) -> list[FieldError]:
    """Validate an update: which fields are immutable."""
    match kind:
        case "Pod":
            return pods.check_pod_update(new["spec"], old["spec"])
        case "Job":
            return jobs.check_job_update(new["spec"], old["spec"])
        case "Service":
            return services.check_service_update(new["spec"], old["spec"])
        case "ConfigMap" | "Secret":
            return _check_fixed_data(new, old)
        case "PersistentVolumeClaim":
            return _check_claim_update(new["spec"], old["spec"])
        case "CustomResourceDefinition":
            return _check_definition_update(new["spec"], old["spec"])
    return []


def _default_deployment(spec: Object) -> None:
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    jobs.default_template(spec)


def _default_secret(secret: Object) -> None:
    secret["type"] = secret.get("type") or "Opaque"
    plain = secret.pop("stringData", None)
    if isinstance(plain, dict):
        data = secret.setdefault("data", {})
        data.update({key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()})


def _check_claim(spec: Object) -> list[FieldError]:
    errors = []
    if not spec.get("accessModes"):
        errors.append(required("spec.accessModes", "at least 1 access mode is required"))
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        errors.append(required("spec.resources[storage]"))
    return errors


def _check_claim_update(new: Object, old: Object) -> list[FieldError]:
    def fixed(spec: Object) -> Object:
        movable = ("resources", "volumeAttributesClassName", *(() if old.get("volumeName") else ("volumeName",)))
        return {key: value for key, value in spec.items() if key not in movable}

    if fixed(new) == fixed(old):
        return []
    detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
    return [forbidden_field("spec", detail)]


def _check_data_keys(obj: Object) -> list[FieldError]:
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    detail = (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
        "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )
    return [
        invalid_value(f"{field}[{key}]", key, detail)
        for field in ("data", "binaryData")
        for key in obj.get(field) or {}
        if not key or not set(key) <= allowed
    ]


def _check_fixed_data(new: Object, old: Object) -> list[FieldError]:
    errors = []
    if old.get("immutable"):
        for field in ("immutable", "data", "binaryData"):
            if new.get(field) != old.get(field):
                detail = "field is immutable when `immutable` is set"
                errors.append(forbidden_field(field, detail))
    if new.get("type") != old.get("type"):
        errors.append(immutable("type", new.get("type")))
    return errors


def _check_definition_update(new: Object, old: Object) -> list[FieldError]:
    errors = [
        immutable(f"spec.{field}", new.get(field)) for field in ("group", "scope") if new.get(field) != old.get(field)
    ]
    return errors + [
        immutable(f"spec.names.{field}", new["names"].get(field))
        for field in ("plural", "kind")
        if new["names"].get(field) != old["names"].get(field)
    ]


def _check_event(event: Object) -> list[FieldError]:
    namespace = (event.get("involvedObject") or event.get("regarding") or {}).get("namespace")
    if namespace in (None, "", event["metadata"].get("namespace")):
        return []
    return [invalid_value("involvedObject.namespace", namespace, "does not match event.namespace")]


def _default_namespace(namespace: Object, spec: Object) -> None:
    if name := namespace["metadata"].get("name"):
        labels = namespace["metadata"]["labels"] = namespace["metadata"].get("labels") or {}
        labels["kubernetes.io/metadata.name"] = name


def _default_event(event: Object, spec: Object) -> None:
    """Set the fields that core/v1 writes even if they are empty."""
    if event["apiVersion"] == "v1":
        for field in ("eventTime", "firstTimestamp", "lastTimestamp"):
            event.setdefault(field, None)
        event["source"] = event.get("source") or {}
        event["reportingComponent"] = event.get("reportingComponent") or ""
        event["reportingInstance"] = event.get("reportingInstance") or ""


def _default_claim(claim: Object, spec: Object) -> None:
    spec.setdefault("volumeMode", "Filesystem")


def _default_volume(volume: Object, spec: Object) -> None:
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    if spec.get("hostPath"):
        spec["hostPath"].setdefault("type", "")


def _default_storage_class(storage_class: Object, spec: Object) -> None:
    storage_class.setdefault("reclaimPolicy", "Delete")
    storage_class.setdefault("volumeBindingMode", "Immediate")


# Each takes the object and its spec, and changes them in place.
_DEFAULTS: dict[str, Callable[[Object, Object], None]] = {
    "CustomResourceDefinition": lambda crd, spec: crds.default_definition(crd),
    "Deployment": lambda deployment, spec: _default_deployment(spec),
    "Event": _default_event,
    "Job": jobs.default_job,
    "Namespace": _default_namespace,
    "PersistentVolume": _default_volume,
    "PersistentVolumeClaim": _default_claim,
    "Pod": lambda pod, spec: pods.default_pod_spec(spec),
    "Secret": lambda secret, spec: _default_secret(secret),
    "Service": lambda service, spec: services.default_service(spec),
    "StorageClass": _default_storage_class,
    "ValidatingAdmissionPolicy": lambda policy, spec: admission_policies.default_policy(spec),
}
