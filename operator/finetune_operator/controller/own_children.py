"""Which Jobs and pods the caches keep. Anybody can put our label on objects of theirs, as many as they like."""

from finetune_api.base import JsonObject
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import job_names
from finetune_operator.job.ownership import controller, finetunejob_as_owner, job_as_owner, run_of


class OwnChildren:
    """Knows what may belong to a FineTuneJob that is there."""

    def __init__(self, finetunejobs: FineTuneJobs) -> None:
        self._finetunejobs = finetunejobs

    def is_job(self, raw: JsonObject) -> bool | None:
        """Whether a Job has the owner and the name that those of a FineTuneJob have; None if its FineTuneJob is not known yet."""
        found = self._labelled(raw)
        if found is None:
            return self._of_nobody(raw)
        key, uid = found
        return controller(raw) == finetunejob_as_owner(key.name, uid) and raw["metadata"]["name"] in job_names(
            key.name, run_of(raw)
        )

    def may_be_pod(self, raw: JsonObject, job: str | None) -> bool | None:
        """Whether a pod has the owner that those of a FineTuneJob have; None if that is not known yet.

        `job` is the uid of the Job of the owner's name as the cache has it: the pod may be seen before its Job is, and after it has gone.
        """
        found, owner = self._labelled(raw), controller(raw)
        if found is None:
            return self._of_nobody(raw)
        if owner is None or owner.name not in job_names(found[0].name, run_of(raw)):
            return False
        entry = self._finetunejobs.get(found[0])
        if entry is not None and owner in entry.jobs:
            return True
        if owner != job_as_owner(owner.name, owner.uid):
            return False
        # The cache may have another Job of this name, which this one's has taken the place of.
        return True if job in (None, owner.uid) else None

    def _labelled(self, raw: JsonObject) -> tuple[Key, str] | None:
        """The FineTuneJob of the object's namespace whose uid its label has, if that is there."""
        uid = _uid(raw)
        key = self._finetunejobs.key_of_uid(uid)
        return (key, uid) if key is not None and key.namespace == raw["metadata"]["namespace"] else None

    def _of_nobody(self, raw: JsonObject) -> bool | None:
        """None if the FineTuneJob whose uid the object's label has may yet be seen, False if not."""
        uid = _uid(raw)
        unseen = uid and self._finetunejobs.key_of_uid(uid) is None
        return None if unseen and self._finetunejobs.serves(raw["metadata"]["namespace"]) else False


def _uid(raw: JsonObject) -> str:
    return str((raw["metadata"].get("labels") or {}).get(LABEL_JOB_UID, ""))
