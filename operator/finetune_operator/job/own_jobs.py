"""The Jobs that the operator made: which they are, and what they keep of their FineTuneJob's profile."""

import hmac
import json
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.status import AppliedProfile, FineTuneJobStatus
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import ANNOTATION_INSTALLATION, ANNOTATION_PROFILE, ANNOTATION_PROOF
from finetune_operator.job.observation import Cause, JobState
from finetune_operator.job.ownership import conflict, is_ours
from finetune_operator.job.proof import is_older, is_proven, job_proof


class OwnJobs:
    """Gives Jobs their proof, and knows them by it."""

    def __init__(self, keys: Callable[[], Sequence[bytes]], installation: str) -> None:
        """`keys` are the operator's own, newest first. `installation` is the same for all that share them, and after they were lost."""
        self._keys = keys
        self._installation = installation

    def seal(self, job: JsonObject, finetunejob: FineTuneJob) -> JsonObject:
        """Return the manifest of a Job with its proof, and with what the FineTuneJob keeps of its profile."""
        metadata, kept = job["metadata"], finetunejob.status.profile
        annotations = self._marks(job_proof(metadata["name"], finetunejob.uid, self._keys()[0]))
        if kept is not None:
            annotations[ANNOTATION_PROFILE] = json.dumps(kept.to_wire(), sort_keys=True, separators=(",", ":"))
        return {**job, "metadata": {**metadata, "annotations": {**metadata["annotations"], **annotations}}}

    def adopt(self, patch: JsonObject | None, job: JobState, finetunejob: FineTuneJob) -> JsonObject | None:
        """Return the patch of an own Job with its proof, where it has none of a key that is known: its status may not tell of it later."""
        proofs = [job_proof(job.name, finetunejob.uid, key) for key in self._keys()]
        if job.proof in proofs:
            return patch
        metadata = (patch or {}).get("metadata", {})
        annotations = {**metadata.get("annotations", {}), **self._marks(proofs[0])}
        return {**(patch or {}), "metadata": {**metadata, "annotations": annotations}}

    def is_own(self, job: JsonObject, finetunejob: FineTuneJob) -> bool:
        """Whether the operator made this Job for the FineTuneJob."""
        known = self.has_proof(job, finetunejob.uid)
        if not known and self._may_be_own(job):
            # It may be one from before Jobs were proven, or from before a key was lost; but none that comes before its run.
            kept, status = finetunejob.status.profile, finetunejob.status
            known = _tells_of_a_job(status) if kept is None else is_older(kept, finetunejob.uid, self._keys())
        return known and is_ours(job, finetunejob)

    def conflict(self, job: JsonObject, finetunejob: FineTuneJob) -> Cause | None:
        """Return why a Job is in the way of the FineTuneJob; None if the operator made it for that."""
        if self.is_own(job, finetunejob):
            return None
        return conflict(job, "Job", finetunejob.uid, self._installation)

    def _marks(self, proof: str) -> dict[str, str]:
        return {ANNOTATION_PROOF: proof, ANNOTATION_INSTALLATION: self._installation}

    def _may_be_own(self, job: JsonObject) -> bool:
        """Whether a Job without a proof of ours names no other installation, which may be at work on it this very moment."""
        named = (job["metadata"].get("annotations") or {}).get(ANNOTATION_INSTALLATION)
        return named in (None, self._installation)

    def has_proof(self, job: JsonObject, uid: str) -> bool:
        """Whether a Job has the proof that the operator made it for the FineTuneJob of this uid."""
        given = (job["metadata"].get("annotations") or {}).get(ANNOTATION_PROOF, "").encode()
        proofs = (job_proof(job["metadata"]["name"], uid, key).encode() for key in self._keys())
        return any(hmac.compare_digest(given, proof) for proof in proofs)

    def kept_by(self, job: JsonObject, finetunejob: FineTuneJob) -> AppliedProfile | None:
        """Return the profile that a Job of the FineTuneJob's was made under; None if it has none of this run's."""
        try:
            text = (job["metadata"].get("annotations") or {}).get(ANNOTATION_PROFILE, "")
            kept = AppliedProfile.model_validate_json(text)
        except ValidationError:
            return None
        return kept if is_proven(kept, finetunejob.uid, finetunejob.run.number, self._keys()) else None


def _tells_of_a_job(status: FineTuneJobStatus) -> bool:
    """Whether the status says that the operator has seen a Job of its own. One that is Pending may have none yet, or wait for a node."""
    if status.start_time is not None or status.attempts:
        return True
    has_no_job = any(each.reason == Reason.BUDGET_USED_UP for each in status.conditions)
    return status.phase not in (None, "Pending") and not has_no_job
