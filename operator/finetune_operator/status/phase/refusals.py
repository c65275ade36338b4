"""Jobs that nothing is made for: a spec that cannot be read, and one that its profile or the API server refuses."""

from datetime import datetime

from finetune_api.reasons import Reason
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause
from finetune_operator.status.verdict import Verdict


def invalid_spec(finetunejob: FineTuneJob, now: datetime) -> Verdict:
    """For a spec that the API server let through and that we cannot read.

    One that an operator has read before is no mistake of the user's: this operator is older than the CRD, or stricter
    than the one before. Its pods may be running, so the job has not failed.
    """
    before, message = finetunejob.status.phase, finetunejob.problems
    if before is not None:
        what = f"this operator cannot read the spec, and leaves the job alone: {message}"
        return Verdict(before, Reason.INVALID_SPEC, what)
    hint = "delete the job and create it again with the named fields corrected"
    return Verdict("Failed", Reason.INVALID_SPEC, message, now, hint)


def refused(cause: Cause, now: datetime) -> Verdict:
    """For a spec with which no child may ever be made."""
    hint = "delete the job and create it again with that corrected"
    return Verdict("Failed", cause.reason, cause.message, now, hint)
