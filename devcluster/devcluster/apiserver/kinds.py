"""Defaults, checks and immutability of the built-in kinds: what the API server itself does, not its controllers."""

import base64
import uuid
from typing import Any

from devcluster.apiserver import crds, pods
from devcluster.apiserver.errors import FieldError, forbidden_field, invalid_value, required, unsupported
from devcluster.apiserver.objects import Object

_IMMUTABLE_JOB = (
    "selector",
    "completionMode",
    "podFailurePolicy",
    "successPolicy",
    "backoffLimitPerIndex",
    "managedBy",
)
# What may change in a suspended job's template, so that a queue can place it.
_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


def default(kind: str, obj: Object) -> None:
    """Defaults that Kubernetes fills in on every write of a built-in kind. Anything malformed is left to validation."""
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        spec = {}
    match kind:
        case "Namespace" if obj["metadata"].get("name"):
            labels = obj["metadata"]["labels"] = obj["metadata"].get("labels") or {}
            labels["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
        case "Pod":
            pods.default_pod_spec(spec)
        case "Job":
            _default_job_object(obj, spec)
        case "Event" if obj["apiVersion"] == "v1":
            for field in ("eventTime", "firstTimestamp", "lastTimestamp"):
                obj.setdefault(field, None)
            obj["source"] = obj.get("source") or {}
            obj["reportingComponent"] = obj.get("reportingComponent") or ""
            obj["reportingInstance"] = obj.get("reportingInstance") or ""
        case "Deployment":
            _default_deployment(spec)
        case "Service":
            _default_service(spec)
        case "PersistentVolumeClaim":
            spec.setdefault("volumeMode", "Filesystem")
        case "PersistentVolume":
            spec.setdefault("volumeMode", "Filesystem")
            spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
            if isinstance(spec.get("hostPath"), dict):
                spec["hostPath"].setdefault("type", "")
        case "Secret":
            _default_secret(obj)
        case "StorageClass":
            obj.setdefault("reclaimPolicy", "Delete")
            obj.setdefault("volumeBindingMode", "Immediate")
        case "CustomResourceDefinition":
            crds.default_definition(obj)


def admit(kind: str, obj: Object) -> None:
    """What is added at creation only. The object is valid when this is called."""
    match kind:
        case "Pod":
            pods.admit_pod(obj)
        case "Job":
            _admit_job(obj)
        case "Namespace":
            obj["spec"] = {"finalizers": ["kubernetes"]}
            obj["status"] = {"phase": "Active"}
        case "PersistentVolumeClaim" | "PersistentVolume":
            obj["status"] = {"phase": "Pending"}
        case "Service":
            obj["status"] = {"loadBalancer": {}}
        case "CustomResourceDefinition":
            obj["status"] = {}
            obj.update(crds.established(obj))


def check(kind: str, obj: Object) -> list[FieldError]:
    """What the schema alone does not say."""
    spec = obj.get("spec") or {}
    match kind:
        case "Pod":
            return pods.check_pod_spec(spec, "spec")
        case "Job":
            return _check_job(spec)
        case "PersistentVolumeClaim":
            return _check_claim(spec)
        case "CustomResourceDefinition":
            return crds.check_definition(obj)
        case "ConfigMap" | "Secret":
            return _check_data_keys(obj)
        case "Event":
            return _check_event(obj)
    return []


def check_update(kind: str, new: Object, old: Object) -> list[FieldError]:
    """What may not change."""
    match kind:
        case "Pod":
            return pods.check_pod_update(new["spec"], old["spec"])
        case "Job":
            return _check_job_update(new["spec"], old["spec"])
        case "ConfigMap" | "Secret":
            return _check_immutable_data(new, old)
        case "PersistentVolumeClaim":
            return _check_claim_update(new["spec"], old["spec"])
        case "CustomResourceDefinition":
            return _check_definition_update(new["spec"], old["spec"])
    return []


def _default_job(spec: Object) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    per_index = spec.get("backoffLimitPerIndex") is not None
    spec.setdefault("backoffLimit", 2147483647 if per_index else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern.setdefault("status", "True")
    _default_template(spec)


def _default_job_object(job: Object, spec: Object) -> None:
    _default_job(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        # The very same map, as in Kubernetes: labels that creation adds to the template show on the job as well.
        job["metadata"]["labels"] = labels
    status = job.get("status") or {}
    for count in ("active", "succeeded", "failed"):
        if status.get(count) == 0:
            del status[count]  # left out at zero, as Go's omitempty does


def _check_event(event: Object) -> list[FieldError]:
    namespace = (event.get("involvedObject") or event.get("regarding") or {}).get("namespace")
    if namespace in (None, "", event["metadata"].get("namespace")):
        return []
    return [invalid_value("involvedObject.namespace", namespace, "does not match event.namespace")]


def _default_template(spec: Object) -> None:
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        template.setdefault("metadata", {})
        pods.default_pod_spec(template["spec"])


def _admit_job(job: Object) -> None:
    """The selector and the labels by which a job knows its pods, unless it brings its own."""
    spec, name, uid = job["spec"], job["metadata"]["name"], job["metadata"]["uid"]
    job["status"] = {}
    if spec.get("manualSelector"):
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for prefix in ("", "batch.kubernetes.io/"):
        labels[f"{prefix}controller-uid"] = uid
        labels[f"{prefix}job-name"] = name
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _default_deployment(spec: Object) -> None:
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    _default_template(spec)


def _default_service(spec: Object) -> None:
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if "clusterIP" not in spec:
        low = uuid.uuid4().int
        spec["clusterIP"] = f"10.96.{low % 256}.{low // 256 % 254 + 1}"
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def _default_secret(secret: Object) -> None:
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None)
    if isinstance(plain, dict):
        data = secret.setdefault("data", {})
        data.update({key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()})


def _check_job(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for field in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        value = spec.get(field)
        if isinstance(value, int) and value < 0:
            errors.append(invalid_value(f"spec.{field}", value, "must be greater than or equal to 0"))
    template = (spec.get("template") or {}).get("spec") or {}
    errors += pods.check_pod_spec(template, "spec.template.spec")
    if template.get("restartPolicy") == "Always":
        errors.append(required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        errors.append(required("spec.completions", "when completion mode is Indexed"))
    if spec.get("podFailurePolicy") and template.get("restartPolicy") != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid_value("spec.template.spec.restartPolicy", template.get("restartPolicy"), detail))
    if spec.get("podFailurePolicy") and spec.get("podReplacementPolicy") != "Failed":
        errors.append(unsupported("spec.podReplacementPolicy", spec.get("podReplacementPolicy"), ("Failed",)))
    return errors


def _check_job_update(new: Object, old: Object) -> list[FieldError]:
    errors = [
        _immutable(f"spec.{field}", new.get(field)) for field in _IMMUTABLE_JOB if new.get(field) != old.get(field)
    ]
    if new.get("completions") != old.get("completions") and new.get("completionMode") != "Indexed":
        errors.append(_immutable("spec.completions", new.get("completions")))
    template, before = new["template"], old["template"]
    if old.get("suspend"):
        template, before = _without_scheduling(template), _without_scheduling(before)
    if template != before:
        part = "spec.template.spec" if old.get("suspend") else "spec.template"
        errors.append(_immutable(part, template))
    return errors


def _without_scheduling(template: Object) -> Object:
    meta = {
        key: value for key, value in (template.get("metadata") or {}).items() if key not in ("labels", "annotations")
    }
    spec = {key: value for key, value in template["spec"].items() if key not in _SCHEDULING}
    return {"metadata": meta, "spec": spec}


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


def _check_immutable_data(new: Object, old: Object) -> list[FieldError]:
    errors = []
    if old.get("immutable"):
        for field in ("immutable", "data", "binaryData"):
            if new.get(field) != old.get(field):
                detail = "field is immutable when `immutable` is set"
                errors.append(forbidden_field(field, detail))
    if new.get("type") != old.get("type"):
        errors.append(_immutable("type", new.get("type")))
    return errors


def _check_definition_update(new: Object, old: Object) -> list[FieldError]:
    errors = [
        _immutable(f"spec.{field}", new.get(field)) for field in ("group", "scope") if new.get(field) != old.get(field)
    ]
    for field in ("plural", "kind"):
        if new["names"].get(field) != old["names"].get(field):
            errors.append(_immutable(f"spec.names.{field}", new["names"].get(field)))
    return errors


def _immutable(path: str, value: Any) -> FieldError:
    return invalid_value(path, value, "field is immutable")
