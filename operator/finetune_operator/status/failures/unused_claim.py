"""Whether a job that has failed keeps the claim that the operator made for it: not if nothing was saved. In doubt it does."""

from datetime import datetime, timedelta
from typing import Final

from finetune_api.status import FineTuneJobStatus
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Observation, PodState

_LOOKED_AT: Final = timedelta(hours=1)
"""Later on somebody may have found a use for the claim."""


def unused_claim(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> str | None:
    """The claim of a job that has failed, if nothing that anybody may want is on it, and it is not known to be gone.

    Either no pod ever ran that mounts it, or the last one that did has looked, and reports that it is empty. It is told by the end
    that is written: until then the job may go on, with its claim.
    """
    spec, status = finetunejob.spec, finetunejob.status
    if status.phase != "Failed" or spec is None or spec.output.uri is not None or not _has_just_ended(status, now):
        return None
    if status.run is None or status.run.output is None:
        return None
    if status.checkpoints or status.latest_checkpoint or status.model or any(pod.running for pod in observed.pods):
        return None
    ran = [pod for pod in observed.attempts if not _never_ran(pod)]
    is_empty = _is_seen_empty(ran[-1], status) if ran else _never_used(observed, status)
    return finetunejob.names.claim if is_empty else None


def _has_just_ended(status: FineTuneJobStatus, now: datetime) -> bool:
    # Not by its completionTime: no operator may have been there to see the end.
    written = next((each.last_transition_time for each in status.conditions if each.type == "Failed"), None)
    return written is not None and abs(now - written) <= _LOOKED_AT


def _never_ran(pod: PodState) -> bool:
    return pod.started is None and (pod.terminated is None or pod.terminated.exit_code is None)


def _is_seen_empty(pod: PodState, after: FineTuneJobStatus) -> bool:
    """Whether the last attempt to run is this one, and has found the volume empty at its end."""
    seen = pod.final is not None and pod.final.output_empty and not pod.unread
    newest = after.attempts[-1].pod if after.attempts else pod.name
    return seen and newest == pod.name


def _never_used(observed: Observation, after: FineTuneJobStatus) -> bool:
    """Whether nothing has ever run that could write to the claim, in this run of the job and those before."""
    there = {pod.name for pod in observed.attempts}
    is_whole = not after.attempts or after.attempts[0].number == 1
    former = after.previous_runs[-1].output if after.previous_runs else None
    return is_whole and former is None and all(attempt.pod in there for attempt in after.attempts)
