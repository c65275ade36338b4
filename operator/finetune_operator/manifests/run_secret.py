"""The Secret by which the pods of one run prove to each other that they belong together.

It has another name each time, which the API server makes up and the Job's template then names. Nobody can put one there
before, whose content he knows; and the operator, which may read no Secret, needs to read none to be sure of that.
"""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob

KEY = "secret"
_PREFIX_LENGTH = 57


def build_run_secret(
    metadata: JsonObject, finetunejob: FineTuneJob, spec: FineTuneJobSpec, secret: str
) -> JsonObject | None:
    """The Secret with the random text `secret`, or None for a job of one pod, which has nobody to prove it to."""
    if spec.resources.nodes == 1:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"generateName": f"{finetunejob.names.run_secret[:_PREFIX_LENGTH]}-", **metadata},
        "immutable": True,
        "stringData": {KEY: secret},
    }
