"""Labels and ownership, the same on each child."""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import LABEL_JOB_NAME, LABEL_JOB_UID, MANAGER

TRAINER = "trainer"
PREFLIGHT = "preflight"


def child_labels(finetunejob: FineTuneJob, component: str = TRAINER) -> dict[str, str]:
    """Labels of each child and of the pod. `finetune.dev/job-uid` is the one that we select by."""
    return {
        "app.kubernetes.io/name": "finetune",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": MANAGER,
        LABEL_JOB_NAME: finetunejob.names.label,
        LABEL_JOB_UID: finetunejob.uid,
    }


def child_metadata(finetunejob: FineTuneJob, name: str, *, owned: bool = True, component: str = TRAINER) -> JsonObject:
    """Metadata of a child. One that is not owned outlives the FineTuneJob."""
    metadata: JsonObject = {
        "name": name,
        "namespace": finetunejob.namespace,
        "labels": child_labels(finetunejob, component),
    }
    if owned:
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": finetunejob.name,
                "uid": finetunejob.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
    return metadata
