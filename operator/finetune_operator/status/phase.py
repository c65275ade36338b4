"""In which phase a job is, and the one line that explains it: an ordered chain of questions to what was observed."""

from dataclasses import replace
from datetime import datetime

from finetune_api.reasons import Reason
from finetune_api.report import NOT_RETRIED, ExitCode, TrainerState
from finetune_api.status import Failure, Phase
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, End, Observation, PodState, Terminated
from finetune_operator.job.preflight import preflight_spec
from finetune_operator.status.deadline import pre_running_deadline, pre_running_due
from finetune_operator.status.failures import group_failure, job_failure, root_cause
from finetune_operator.status.messages import cut, describe_end, describe_progress, to_reason
from finetune_operator.status.preflight_phase import decide_preflight
from finetune_operator.status.verdict import Verdict, before_the_job, queued
from finetune_operator.status.waiting import is_explained, waiting_for_pods


def decide(
    finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, known: TrainerState, now: datetime
) -> Verdict:
    """Phase and message of a job that has not ended."""
    preflight = observed.preflight
    if preflight is None or observed.job or observed.blocked or observed.refused:
        verdict = _decide_training(finetunejob, spec, observed, known, now)
    else:
        verdict = decide_preflight(preflight_spec(spec), preflight, known, now)
    due = pre_running_due(finetunejob, spec, observed)
    if due is not None and due <= now:
        return pre_running_deadline(spec, observed, verdict, now)
    return verdict


def _decide_training(
    finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, known: TrainerState, now: datetime
) -> Verdict:
    """By the Job that trains: the first answer that fits."""
    job = observed.job
    if observed.refused is not None:
        return _refused(observed.refused, now)
    if job is None:
        return before_the_job(observed)
    if job.end is not None:
        return _ended(job.end, observed, spec, known, now)
    if job.suspended:
        return _suspended(observed, known) if spec.suspend else queued(job)
    verdict = _by_newest_pods(finetunejob, spec, observed, known)
    if spec.suspend:
        # Our patch was sent before this was asked: a Job that runs was started by another.
        again = "spec.suspend is set, and somebody started the Job again (with Kueue, deactivate its Workload instead)"
        return replace(verdict, message=f"{again}: {verdict.message}")
    return verdict


def invalid_spec(finetunejob: FineTuneJob, now: datetime) -> Verdict:
    """For a spec that the API server let through and that we cannot read.

    One that an operator has read before is no mistake of the user's: this operator is older than the CRD, or stricter
    than the one before. Its pods may be running, so the job has not failed.
    """
    before, message = finetunejob.status.phase, cut(finetunejob.problems)
    if before is not None:
        return Verdict(
            before, Reason.INVALID_SPEC, cut(f"this operator cannot read the spec, and leaves the job alone: {message}")
        )
    hint = "delete the job and create it anew with the named fields mended"
    failure = Failure(reason=Reason.INVALID_SPEC, message=message, hint=hint)
    return Verdict("Failed", Reason.INVALID_SPEC, message, failure, now)


def _refused(cause: Cause, now: datetime) -> Verdict:
    message, reason = cut(cause.message), to_reason(cause.reason)
    failure = Failure(reason=reason, message=message, hint="delete the job and create it anew with that mended")
    return Verdict("Failed", reason, message, failure, now)


def _ended(end: End, observed: Observation, spec: FineTuneJobSpec, known: TrainerState, now: datetime) -> Verdict:
    ended = end.time or now
    if end.succeeded:
        return Verdict("Succeeded", Reason.SUCCEEDED, describe_end(spec, known), None, ended)
    failure = job_failure(end, observed, spec)
    return Verdict("Failed", failure.reason, failure.message, failure, ended)


def _suspended(observed: Observation, known: TrainerState) -> Verdict:
    if any(pod.running for pod in observed.pods):
        return Verdict("Suspended", Reason.STOPPING, "suspended: the trainer saves a checkpoint and stops")
    where = f" at step {known.checkpoints[-1].step}" if known.checkpoints else ""
    return Verdict("Suspended", Reason.SUSPENDED, f"suspended{where}; set spec.suspend to false to go on")


def _by_newest_pods(
    finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, known: TrainerState
) -> Verdict:
    pods, nodes = observed.newest, spec.resources.nodes
    first = next((pod for pod in pods if pod.index == 0), None)
    if first is not None and first.terminated is not None and first.terminated.exit_code == 0:
        message = "the trainer has finished; waiting for the Job to complete"
        return Verdict(_phase_before(finetunejob), Reason.FINISHING, message)
    if failed := root_cause(pods):
        return _between_attempts(finetunejob, spec, observed, *failed)
    up = [pod for pod in pods if pod.running or pod.terminated]
    if first is not None and len(up) >= nodes:
        return _training(finetunejob, spec, observed, known, first)
    cause = waiting_for_pods(observed, nodes)
    others = f"{len(up)} of {nodes} pods run; " if nodes > 1 else ""
    return Verdict("Pending", cause.reason, others + cause.message)


def _phase_before(finetunejob: FineTuneJob) -> Phase:
    before = finetunejob.status.phase
    return before if before in ("Preparing", "Running") else "Running"


def _between_attempts(
    finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, pod: PodState, ended: Terminated
) -> Verdict:
    """The attempt has failed, and the Job controller has not yet decided what follows."""
    what = group_failure(pod, ended, spec).message
    if ended.counted and ended.exit_code in NOT_RETRIED:
        return Verdict(_phase_before(finetunejob), Reason.FAILING, what)
    reason, then = Reason.RESUMING, "a new attempt goes on from the last checkpoint"
    if ended.exit_code == ExitCode.STOPPED:
        what, then = "the pod was stopped and had saved a checkpoint", "a new one goes on from there"
    elif ended.counted:
        reason, what, then = Reason.RETRYING, f"the attempt failed: {what}", "a new one comes"
    if is_explained(observed):
        then = waiting_for_pods(observed, spec.resources.nodes).message
    return Verdict("Pending", reason, f"{what}; {then}")


def _training(
    finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, known: TrainerState, pod: PodState
) -> Verdict:
    status = finetunejob.status
    trains = status.phase == "Running" and bool(status.attempts) and status.attempts[-1].pod == pod.name
    if pod.report is None:
        # Right after a start of the operator, the status of this very pod still holds.
        if trains:
            return Verdict("Running", Reason.TRAINING, describe_progress(spec, known, "Training"))
        nodes = spec.resources.nodes
        waits = (
            "the pod runs; waiting for" if nodes == 1 else f"all {nodes} pods run; waiting for them to meet, and for"
        )
        return Verdict("Preparing", Reason.PREPARING, f"{waits} the trainer's first report")
    report = pod.report.body.report
    if report is not None and report.stage == "Preparing":
        message = "preparing: " + (report.message or "loading model and data")
        # Within an attempt the phase never goes back, whatever a pod reports.
        return (
            Verdict("Running", Reason.TRAINING, message) if trains else Verdict("Preparing", Reason.PREPARING, message)
        )
    stage = report.stage if report is not None else "Training"
    return Verdict("Running", stage, describe_progress(spec, known, stage))
