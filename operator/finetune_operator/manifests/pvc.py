"""The PersistentVolumeClaim for checkpoints and the model, where the user names no place for them."""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob

DEFAULT_SIZE = "10Gi"


def build_pvc(metadata: JsonObject, finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> JsonObject | None:
    """The claim, or None where `output.uri` is given. Without an owner it stays when the job is deleted."""
    output = spec.output
    if output.uri:
        return None
    claim: JsonObject = {
        # Each pod writes to it from the node that it is on.
        "accessModes": ["ReadWriteOnce" if spec.resources.nodes == 1 else "ReadWriteMany"],
        "resources": {"requests": {"storage": output.size or DEFAULT_SIZE}},
    }
    if output.storage_class_name is not None:
        claim["storageClassName"] = output.storage_class_name
    if output.retention_policy != "Delete":
        metadata = {name: value for name, value in metadata.items() if name != "ownerReferences"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": finetunejob.names.claim, **metadata},
        "spec": claim,
    }
