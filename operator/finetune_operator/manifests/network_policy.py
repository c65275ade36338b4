"""NetworkPolicies: nobody may begin to talk to the pods of a job, but for those of the same job where it has several.

Policies add up. So one of the namespace shuts the pods of all its jobs, and a job of many pods has one more that opens them to each other.

What they reach themselves is not limited here: where models and data are, nobody knows beforehand. A namespace's own policies may.
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import ISOLATION
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.manifests.metadata import shared_metadata


def build_isolation(namespace: str, pod_defaults: PodDefaults) -> JsonObject | None:
    """The policy of a namespace, or None where the cluster has means of its own."""
    if not pod_defaults.network_policy:
        return None
    every = {"matchExpressions": [{"key": LABEL_JOB_UID, "operator": "Exists"}]}
    return _policy({"name": ISOLATION, **shared_metadata(namespace)}, every, [])


def build_network_policy(
    metadata: JsonObject, finetunejob: FineTuneJob, spec: FineTuneJobSpec, pod_defaults: PodDefaults
) -> JsonObject | None:
    """The policy of a job of many pods; None for one, which talks to nobody, and where the cluster has means of its own."""
    if not pod_defaults.network_policy or spec.resources.nodes == 1:
        return None
    own = {"matchLabels": {LABEL_JOB_UID: finetunejob.uid}}
    return _policy({"name": finetunejob.names.job, **metadata}, own, [{"from": [{"podSelector": own}]}])


def _policy(metadata: JsonObject, pods: JsonObject, ingress: list[JsonObject]) -> JsonObject:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": ingress},
    }
