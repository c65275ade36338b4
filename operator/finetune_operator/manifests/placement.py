"""Where the pods of a job may run, who they run as, and what a GPU is there."""

from finetune_api.base import JsonObject
from finetune_api.pod import Accelerator
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.well_known import GPU, LABEL_JOB_UID, USER

_CLAIM = "accelerator"
"""Name by which the container refers to the pod's resource claim."""
_FIELDS = (
    "serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName", "affinity",
    "runtimeClassName", "schedulerName",
)  # fmt: skip


def build_placement(spec: FineTuneJobSpec, uid: str) -> JsonObject:
    """The fields of a pod's spec that place it. Of a spread that says nothing of pods, the FineTuneJob's own are counted."""
    pod = spec.pod.to_wire()
    placement = {name: pod[name] for name in _FIELDS if pod.get(name)}
    counted = {"labelSelector": {"matchLabels": {LABEL_JOB_UID: uid}}}
    if spread := [{**counted, **constraint} for constraint in pod["topologySpreadConstraints"]]:
        placement["topologySpreadConstraints"] = spread
    if template := _accelerator(spec).resource_claim_template_name:
        placement["resourceClaims"] = [{"name": _CLAIM, "resourceClaimTemplateName": template}]
    return placement


def build_ids(spec: FineTuneJobSpec, *, platform_user: bool) -> JsonObject:
    """User and groups in the pod's security context; nothing where the platform chooses them."""
    if spec.pod.security_context is not None:
        return {name: value for name, value in spec.pod.security_context.to_wire().items() if value}
    return {} if platform_user else {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}


def build_resources(spec: FineTuneJobSpec) -> JsonObject:
    """Requests and limits of the container that trains."""
    accelerator, gpus = _accelerator(spec), spec.resources.gpus
    asked = {name: value for name, value in (("cpu", spec.resources.cpu), ("memory", spec.resources.memory)) if value}
    claimed = bool(gpus and accelerator.resource_claim_template_name)
    counted = {accelerator.resource or GPU: str(gpus)} if gpus and not claimed else {}
    claims: JsonObject = {"claims": [{"name": _CLAIM}]} if claimed else {}
    amounts = {"requests": asked, "limits": {**asked, **counted}}
    return {**{name: amount for name, amount in amounts.items() if amount}, **claims}


def _accelerator(spec: FineTuneJobSpec) -> Accelerator:
    return (spec.resources.gpus and spec.pod.accelerator) or Accelerator()
