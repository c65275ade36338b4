"""Labels and ownership, the same on each child."""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import LABEL_JOB_NAME, LABEL_JOB_UID, MANAGER

LABEL_COMPONENT = "app.kubernetes.io/component"


def child_metadata(finetunejob: FineTuneJob) -> JsonObject:
    """Metadata of each child but for its name. `finetune.dev/job-uid` is the label that we select by."""
    return {
        "namespace": finetunejob.namespace,
        "labels": {
            "app.kubernetes.io/name": "finetune",
            LABEL_COMPONENT: "trainer",
            "app.kubernetes.io/managed-by": MANAGER,
            LABEL_JOB_NAME: finetunejob.names.label,
            LABEL_JOB_UID: finetunejob.uid,
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
