"""Defaults and validation of batch/v1 Jobs."""

import re

from devcluster.apiserver.errors import FieldError, immutable, invalid_value, required, unsupported
from devcluster.apiserver.kinds import pods
from devcluster.apiserver.objects import Object

_IMMUTABLE = (
    "selector",
    "completionMode",
    "podFailurePolicy",
    "successPolicy",
    "backoffLimitPerIndex",
    "managedBy",
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
# Mutable in the template of a suspended Job, so that a queue can place it.
_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


def default_job(job: Object, spec: Object) -> None:
    """Fill in the defaults of a Job."""
    _default_spec(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        # The same dict, as in Kubernetes: labels that creation adds to the template are the Job's, too.
        job["metadata"]["labels"] = labels
    status = job.get("status") or {}
    for count in ("active", "succeeded", "failed"):
        if status.get(count) == 0:
            del status[count]  # left out at zero, as Go's omitempty does


def _default_spec(spec: Object) -> None:
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
    default_template(spec)


def default_template(spec: Object) -> None:
    """Fill in the defaults of the pod template of a Job or Deployment."""
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        template.setdefault("metadata", {})
        pods.default_pod_spec(template["spec"])


def admit_job(job: Object) -> None:
    """Set the selector and labels by which a Job finds its pods, unless it has its own."""
    spec, name, uid = job["spec"], job["metadata"]["name"], job["metadata"]["uid"]
    job["status"] = {}
    if spec.get("manualSelector"):
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for prefix in ("", "batch.kubernetes.io/"):
        labels[f"{prefix}controller-uid"] = uid
        labels[f"{prefix}job-name"] = name
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def check_job(spec: Object, name: str) -> list[FieldError]:
    """Validate a Job of this name beyond its schema."""
    errors: list[FieldError] = []
    for field in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        value = spec.get(field)
        if isinstance(value, int) and value < 0:
            errors.append(invalid_value(f"spec.{field}", value, "must be greater than or equal to 0"))
    template = (spec.get("template") or {}).get("spec") or {}
    errors += pods.check_pod_spec(template, "spec.template.spec")
    if template.get("restartPolicy") == "Always":
        errors.append(required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    errors += _check_indexes(spec, name)
    if spec.get("podFailurePolicy") and template.get("restartPolicy") != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid_value("spec.template.spec.restartPolicy", template.get("restartPolicy"), detail))
    if spec.get("podFailurePolicy") and spec.get("podReplacementPolicy") != "Failed":
        errors.append(unsupported("spec.podReplacementPolicy", spec.get("podReplacementPolicy"), ("Failed",)))
    return errors


def _check_indexes(spec: Object, name: str) -> list[FieldError]:
    if spec.get("completionMode") != "Indexed":
        return [
            invalid_value(f"spec.{field}", spec[field], "requires indexed completion mode")
            for field in ("successPolicy", "backoffLimitPerIndex")
            if spec.get(field) is not None
        ]
    completions = spec.get("completions")
    if completions is None:
        return [required("spec.completions", "when completion mode is Indexed")]
    host = f"{name}-{completions - 1}"
    if not completions or (_LABEL.fullmatch(host) and len(host) <= 63):
        return []
    return [invalid_value("metadata.name", name, f"will not able to create pod with invalid DNS label: {host}")]


def check_job_update(new: Object, old: Object) -> list[FieldError]:
    """Validate an update of a Job, which is immutable but for a few fields, and a few more while it is suspended."""
    errors = [immutable(f"spec.{field}", new.get(field)) for field in _IMMUTABLE if new.get(field) != old.get(field)]
    if new.get("completions") != old.get("completions") and new.get("completionMode") != "Indexed":
        errors.append(immutable("spec.completions", new.get("completions")))
    template, before = new["template"], old["template"]
    if old.get("suspend"):
        template, before = _without_scheduling(template), _without_scheduling(before)
    if template != before:
        part = "spec.template.spec" if old.get("suspend") else "spec.template"
        errors.append(immutable(part, template))
    return errors


def _without_scheduling(template: Object) -> Object:
    meta = {
        key: value for key, value in (template.get("metadata") or {}).items() if key not in ("labels", "annotations")
    }
    spec = {key: value for key, value in template["spec"].items() if key not in _SCHEDULING}
    return {"metadata": meta, "spec": spec}
