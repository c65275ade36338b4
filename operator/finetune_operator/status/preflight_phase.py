"""The phase of a FineTuneJob by its preflight, while there is no Job that trains."""

from dataclasses import replace
from datetime import datetime

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode, TrainerState
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.observation import JobState, Observation, PodState, Terminated
from finetune_operator.status.failures import group_failure, job_failure, root_cause
from finetune_operator.status.verdict import Verdict, before_the_job, queued
from finetune_operator.status.waiting import waiting_for_pods

_CHECKING = "checking model and data before GPUs are asked for"


def decide_preflight(spec: FineTuneJobSpec, observed: Observation, known: TrainerState, now: datetime) -> Verdict:
    """Phase and message while there is a preflight and no Job that trains.

    `spec` is that of `as_preflight`, `observed` that of the preflight.
    """
    job = observed.job
    if job is None:
        return before_the_job(observed)
    if job.end is not None:
        if job.end.succeeded:
            return Verdict("Preparing", Reason.PREFLIGHT_PASSED, f"{_passed(known)}; creating the Job")
        failure = job_failure(job.end, observed, spec)
        return Verdict("Failed", failure.reason, failure.message, failure, job.end.time or now)
    return _suspended(spec, job) if job.suspended else _by_newest_pod(spec, observed)


def _passed(known: TrainerState) -> str:
    memory = known.preflight.memory if known.preflight else None
    needed = f", which takes about {memory.total / 2**30:.1f} GiB on each device" if memory else ""
    return f"model and data are ready for the training{needed}"


def _suspended(spec: FineTuneJobSpec, job: JobState) -> Verdict:
    if spec.suspend:
        return Verdict(
            "Suspended",
            Reason.SUSPENDED,
            "suspended before model and data are checked; set spec.suspend to false to go on",
        )
    verdict = queued(job)
    return replace(verdict, message=f"preflight: {verdict.message}")


def _by_newest_pod(spec: FineTuneJobSpec, observed: Observation) -> Verdict:
    pod = next(iter(observed.newest), None)
    if pod is not None and pod.terminated is not None and pod.terminated.exit_code == 0:
        return Verdict(
            "Preparing", Reason.PREFLIGHT, "model and data are checked; waiting for the preflight's Job to complete"
        )
    if failed := root_cause(observed.newest):
        return _between_pods(spec, *failed)
    if pod is not None and pod.running:
        report = pod.report.body.report if pod.report is not None else None
        doing = report.message if report is not None else None
        return Verdict("Preparing", Reason.PREFLIGHT, f"{_CHECKING}: {doing}" if doing else _CHECKING)
    cause = waiting_for_pods(observed, 1)
    return Verdict("Pending", cause.reason, f"preflight: {cause.message}")


def _between_pods(spec: FineTuneJobSpec, pod: PodState, ended: Terminated) -> Verdict:
    """The pod has failed, and the Job controller has not yet decided what follows."""
    if ended.exit_code == ExitCode.STOPPED:
        return Verdict("Pending", Reason.RETRYING, "the preflight was stopped; a new pod comes")
    return Verdict("Pending", Reason.RETRYING, f"the preflight failed: {group_failure(pod, ended, spec).message}")
