"""The phase of a FineTuneJob by its preflight, while there is no Job that trains."""

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode, TrainerState
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.observation import PodState, Terminated
from finetune_operator.status.failures.disruptions import lost_since
from finetune_operator.status.failures.why_failed import group_failure, job_failure
from finetune_operator.status.phase.facts import Facts
from finetune_operator.status.verdict import Verdict

_CHECKING = "checking model and data before GPUs are asked for"


def decide_preflight(facts: Facts) -> Verdict:
    """Phase and message while there is a preflight and no Job that trains. `facts` are those of the preflight."""
    observed, waits = facts.observed, facts.waits
    job = observed.job
    if job is None:
        return Verdict("Pending", waits.reason, waits.message)
    if job.end is not None:
        if job.end.succeeded:
            return Verdict("Preparing", Reason.PREFLIGHT_PASSED, f"{_passed(facts.known)}; creating the Job")
        failure = job_failure(job.end, observed, facts.spec)
        return Verdict("Failed", failure.reason, failure.message, job.end.time or facts.now, failure=failure)
    if not job.suspended:
        return _by_newest_pod(facts)
    if not facts.spec.suspend:
        return Verdict("Queued", waits.reason, f"preflight: {waits.message}")
    return Verdict(
        "Suspended", Reason.SUSPENDED, "suspended before model and data are checked; set spec.suspend to false to go on"
    )


def _passed(known: TrainerState) -> str:
    memory = known.preflight.memory if known.preflight else None
    needed = f", which takes about {memory.total / 2**30:.1f} GiB on each device" if memory else ""
    return f"model and data are ready for the training{needed}"


def _by_newest_pod(facts: Facts) -> Verdict:
    observed = facts.observed
    pod = next(iter(observed.newest), None)
    if pod is not None and pod.terminated is not None and pod.terminated.exit_code == 0:
        return Verdict(
            "Preparing", Reason.PREFLIGHT, "model and data are checked; waiting for the preflight's Job to complete"
        )
    if facts.failed:
        return _between_pods(facts.spec, *facts.failed)
    if pod is not None and pod.running and lost_since(pod, facts.now) is None:
        report = pod.report.body.report if pod.report is not None else None
        doing = report.message if report is not None else None
        if facts.unheard is not None and facts.unheard.said_at <= facts.now:
            return Verdict("Preparing", Reason.REPORTS_MISSING, f"preflight: the pod runs, and {facts.unheard}")
        return Verdict("Preparing", Reason.PREFLIGHT, f"{_CHECKING}: {doing}" if doing else _CHECKING)
    return Verdict("Pending", facts.waits.reason, f"preflight: {facts.waits.message}")


def _between_pods(spec: FineTuneJobSpec, pod: PodState, ended: Terminated) -> Verdict:
    """The pod has failed, and the Job controller has not yet decided what follows."""
    if ended.exit_code == ExitCode.STOPPED:
        return Verdict("Pending", Reason.RETRYING, "the preflight was stopped; a new pod comes")
    return Verdict("Pending", Reason.RETRYING, f"the preflight failed: {group_failure(pod, ended, spec).message}")
