"""Labels and ownership, the same on each child."""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_api.well_known import LABEL_COMPONENT, LABEL_JOB_UID, LABEL_RUN, TRAINER
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import LABEL_JOB_NAME, LABEL_SHARED, MANAGER


def child_metadata(finetunejob: FineTuneJob) -> JsonObject:
    """Metadata of each child but for its name. `finetune.dev/job-uid` is the label that we select by."""
    return {
        "namespace": finetunejob.namespace,
        "labels": {
            "app.kubernetes.io/name": "finetune",
            LABEL_COMPONENT: TRAINER,
            "app.kubernetes.io/managed-by": MANAGER,
            LABEL_JOB_NAME: finetunejob.names.label,
            LABEL_JOB_UID: finetunejob.uid,
            LABEL_RUN: str(finetunejob.run.number),
        },
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": finetunejob.name,
                "uid": finetunejob.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def shared_metadata(namespace: str, label: str = LABEL_SHARED) -> JsonObject:
    """Metadata, but for its name, of what the jobs of a namespace share. It belongs to none of them, and stays when they go."""
    return {"namespace": namespace, "labels": {"app.kubernetes.io/managed-by": MANAGER, label: "true"}}


def is_shared(live: JsonObject, manifest: JsonObject) -> bool:
    """Whether an object of that name is one that the operator has made: what another made is never mounted into every job."""
    labels = live["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in manifest["metadata"]["labels"].items())
