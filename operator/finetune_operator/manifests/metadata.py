"""Labels and ownership, the same on each child."""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_operator.job.finetunejob import Resource
from finetune_operator.job.names import LABEL_JOB_NAME, LABEL_JOB_UID, MANAGER, label_value

TRAINER = "trainer"
PREFLIGHT = "preflight"


def child_labels(resource: Resource, component: str = TRAINER) -> dict[str, str]:
    """Labels of each child and of the pod. `finetune.dev/job-uid` is the one that we select by."""
    return {
        "app.kubernetes.io/name": "finetune",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": MANAGER,
        LABEL_JOB_NAME: label_value(resource.key.name),
        LABEL_JOB_UID: resource.uid,
    }


def child_metadata(resource: Resource, name: str, *, owned: bool = True, component: str = TRAINER) -> JsonObject:
    """Metadata of a child. One that is not owned outlives the FineTuneJob."""
    metadata: JsonObject = {
        "name": name,
        "namespace": resource.key.namespace,
        "labels": child_labels(resource, component),
    }
    if owned:
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": resource.key.name,
                "uid": resource.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
    return metadata
