"""The NetworkPolicy of one job: its pods may talk to each other, and nobody else may begin to talk to them.

What they reach themselves is not limited here: where models and data are, nobody knows beforehand. A namespace's own policies may.
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import LABEL_JOB_UID
from finetune_operator.job.pod_defaults import PodDefaults


def build_network_policy(
    metadata: JsonObject, finetunejob: FineTuneJob, spec: FineTuneJobSpec, pod_defaults: PodDefaults
) -> JsonObject | None:
    """The policy, or None where the cluster has means of its own."""
    if not pod_defaults.network_policy:
        return None
    own = {"matchLabels": {LABEL_JOB_UID: finetunejob.uid}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": finetunejob.names.job, **metadata},
        "spec": {
            "podSelector": own,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": own}]}] if spec.resources.nodes > 1 else [],
        },
    }
