"""Which Jobs and pods the caches keep. Anybody can put our label on objects of theirs, as many as they like."""

from finetune_api.base import JsonObject
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import LABEL_JOB_UID, job_names, run_of
from finetune_operator.job.ownership import controller, finetunejob_as_owner, job_as_owner


class Ours:
    """Knows what may belong to a FineTuneJob that is there."""

    def __init__(self, finetunejobs: FineTuneJobs) -> None:
        self._finetunejobs = finetunejobs

    def is_job(self, raw: JsonObject) -> bool:
        """Whether a Job has the owner and the name that those of a FineTuneJob have."""
        found = self._labelled(raw)
        if found is None:
            return False
        key, uid = found
        return controller(raw) == finetunejob_as_owner(key.name, uid) and raw["metadata"]["name"] in job_names(
            key.name, run_of(raw)
        )

    def may_be_pod(self, raw: JsonObject, job: JsonObject | None) -> bool:
        """Whether a pod has the owner that those of a FineTuneJob have.

        `job` is the Job of the owner's name as the cache has it: the pod may be seen before its Job is, and after it has gone.
        """
        found, owner = self._labelled(raw), controller(raw)
        if found is None or owner is None or owner.name not in job_names(found[0].name, run_of(raw)):
            return False
        entry = self._finetunejobs.get(found[0])
        known = entry is not None and owner in entry.jobs
        return known or owner == job_as_owner(owner.name, job["metadata"]["uid"] if job is not None else owner.uid)

    def _labelled(self, raw: JsonObject) -> tuple[Key, str] | None:
        """The FineTuneJob of the object's namespace whose uid its label has, if that is there."""
        uid = (raw["metadata"].get("labels") or {}).get(LABEL_JOB_UID, "")
        key = self._finetunejobs.key_of_uid(uid)
        return (key, uid) if key is not None and key.namespace == raw["metadata"]["namespace"] else None
