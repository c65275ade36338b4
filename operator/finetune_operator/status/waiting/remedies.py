"""What can be done about what keeps a pod from running: mostly an object that its spec names and the namespace does not have."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.claims import claim_of
from finetune_operator.job.observation import Cause

_OF_REASON: Final[dict[str, str]] = {
    Reason.PROVISIONING_FAILED: (
        "create the job again with a StorageClass of `kubectl get storageclass`, or create that one"
    ),
}
_MISSING: Final = (
    # What the API server, the scheduler and kubelet say, and the kind that they miss.
    (re.compile(r'serviceaccount "([^"]+)" not found'), "ServiceAccount"),
    (re.compile(r"no PriorityClass with name (\S+) was found"), "PriorityClass"),
    (re.compile(r'RuntimeClass "([^"]+)" not found'), "RuntimeClass"),
    (re.compile(r'persistentvolumeclaim "([^"]+)" not found'), "PersistentVolumeClaim"),
    (re.compile(r'secret "([^"]+)" not found'), "Secret"),
    (re.compile(r'configmap "([^"]+)" not found'), "ConfigMap"),
    (re.compile(r'resourceclaimtemplate\.resource\.k8s\.io "([^"]+)" not found'), "ResourceClaimTemplate"),
)
_MISSING_ITEM: Final = re.compile(r"references non-existent (secret|config) key: (\S+)")
"""Of a volume, whose object kubelet does not name."""
_MISSING_KEY: Final = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) [^/\s]+/(\S+)")


def remedy(cause: Cause, spec: FineTuneJobSpec) -> str:
    """What a person can do about a cause, with the fields that decide it; empty where only its message can tell."""
    if cause.reason in _OF_REASON:
        return _OF_REASON[cause.reason]
    if key := _MISSING_KEY.search(cause.message):
        named = _fields_naming(key[2], key[3], spec)
        return f"add the key {key[1]} to it, or create the job again with another key or {key[2]}{named}"
    if item := _MISSING_ITEM.search(cause.message):
        kind = "Secret" if item[1] == "secret" else "ConfigMap"
        return f"add the key {item[2]} to the {kind}, or create the job again with other items of it in pod.volumes"
    for pattern, kind in _MISSING:
        if missing := pattern.search(cause.message):
            return _create(kind, missing[1], spec)
    return ""


def _create(kind: str, name: str, spec: FineTuneJobSpec) -> str:
    named = _fields_naming(kind, name, spec)
    return f"create the {kind}, or create the job again with another one{named}" if named else ""


def _fields_naming(kind: str, name: str, spec: FineTuneJobSpec) -> str:
    """Such as ` in model.secretRef and output.secretRef`; empty where the spec does not name the object."""
    fields = dict.fromkeys(field for field, (of, value) in _references(spec) if (of, value) == (kind, name))
    return f" in {' and '.join(fields)}" if fields else ""


def _references(spec: FineTuneJobSpec) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Each field that names an object of the cluster, with the object's kind and name."""
    pod, tracking = spec.pod, spec.tracking
    yield "pod.serviceAccountName", ("ServiceAccount", pod.service_account_name or "default")
    yield "pod.priorityClassName", ("PriorityClass", pod.priority_class_name)
    yield "pod.runtimeClassName", ("RuntimeClass", pod.runtime_class_name)
    yield "model.source", ("PersistentVolumeClaim", claim_of(spec.model.source))
    yield "dataset.source", ("PersistentVolumeClaim", claim_of(spec.dataset.source))
    yield "output.uri", ("PersistentVolumeClaim", claim_of(spec.output.uri or ""))
    if pod.accelerator is not None:
        template = pod.accelerator.resource_claim_template_name
        yield "pod.accelerator.resourceClaimTemplateName", ("ResourceClaimTemplate", template)
    credentials = {"model": spec.model, "dataset": spec.dataset, "output": spec.output, "tracking": tracking}
    for role, holder in credentials.items():
        if holder is not None and holder.secret_ref is not None:
            yield f"{role}.secretRef", ("Secret", holder.secret_ref.name)
    yield from (("pod.volumes", each) for each in _of_volumes(spec))
    yield from (("pod.env", each) for each in _of_variables(spec))


def _of_volumes(spec: FineTuneJobSpec) -> Iterable[tuple[str, str]]:
    for volume in spec.pod.volumes:
        if volume.secret is not None:
            yield "Secret", volume.secret.secret_name
        if volume.config_map is not None:
            yield "ConfigMap", volume.config_map.name
        if volume.persistent_volume_claim is not None:
            yield "PersistentVolumeClaim", volume.persistent_volume_claim.claim_name


def _of_variables(spec: FineTuneJobSpec) -> Iterable[tuple[str, str]]:
    for source in (each.value_from for each in spec.pod.env):
        if source is not None and source.secret_key_ref is not None:
            yield "Secret", source.secret_key_ref.name
        if source is not None and source.config_map_key_ref is not None:
            yield "ConfigMap", source.config_map_key_ref.name
