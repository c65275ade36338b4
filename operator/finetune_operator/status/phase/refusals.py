"""Jobs that nothing is made for: a spec that cannot be read, and one that its profile or the API server refuses."""

from datetime import datetime

from finetune_api.reasons import Reason
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Observation
from finetune_operator.status.verdict import Verdict


def refusal(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> Verdict | None:
    """Why nothing is made for the job; None if its children are.

    A spec that the API server let through and that we cannot read is no mistake of the user's if an operator has read it before:
    this operator is older than the CRD, or stricter than the one before. Its pods may be running, so the job has not failed.
    """
    before, refused = finetunejob.status.phase, observed.refused
    if finetunejob.spec is None and before is not None:
        what = f"this operator cannot read the spec, and leaves the job alone: {finetunejob.problems}"
        return Verdict(before, Reason.INVALID_SPEC, what)
    if finetunejob.spec is None:
        hint = "delete the job and create it again with the named fields corrected"
        return Verdict("Failed", Reason.INVALID_SPEC, finetunejob.problems, now, hint)
    if refused is not None:
        hint = "delete the job and create it again with that corrected"
        return Verdict("Failed", refused.reason, refused.message, now, hint)
    return None
