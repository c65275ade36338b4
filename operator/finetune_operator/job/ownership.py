"""Who owns an object. Nothing that another made is ever adopted or overwritten."""

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import KIND
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import LABEL_JOB_UID
from finetune_operator.job.observation import Cause


def controller(raw: JsonObject) -> JsonObject | None:
    """The owner reference of the object's controller."""
    owners: list[JsonObject] = raw["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def is_ours(raw: JsonObject, uid: str) -> bool:
    """Whether we made the object for the FineTuneJob of this uid. A claim that outlives the job has only the label."""
    owner = controller(raw)
    if owner is not None:
        return bool(owner["uid"] == uid)
    return bool((raw["metadata"].get("labels") or {}).get(LABEL_JOB_UID) == uid)


def own_pods(job_name: str, pods: list[JsonObject]) -> list[JsonObject]:
    """The pods that this Job controls, of those with its label: anyone may put a label on a pod."""
    return [pod for pod in pods if (owner := controller(pod)) and owner["kind"] == "Job" and owner["name"] == job_name]


def conflict(raw: JsonObject, kind: str) -> Cause:
    """Why an object that another made is in the way."""
    metadata = raw["metadata"]
    what = f"the {kind} {metadata['name']}"
    if LABEL_JOB_UID in (metadata.get("labels") or {}):
        return Cause(Reason.NAME_CONFLICT, f"{what} of an earlier FineTuneJob is still there; waiting for it to go")
    return Cause(
        Reason.NAME_CONFLICT, f"{what} is there and was not made for this FineTuneJob: delete or rename one of the two"
    )


def changed(raw: JsonObject, kind: str) -> Cause:
    """Why an object of ours that never changes, and holds something else now, is in the way."""
    what = f"the {kind} {raw['metadata']['name']}"
    return Cause(
        Reason.CONFIG_CHANGED,
        f"{what} holds something else than this FineTuneJob asks for: delete it, and it is made again",
    )


def key_of_job(raw: JsonObject) -> Key | None:
    """The key of the FineTuneJob that owns a Job."""
    owner = controller(raw)
    return Key(raw["metadata"]["namespace"], owner["name"]) if owner and owner.get("kind") == KIND else None
