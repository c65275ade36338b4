"""In which phase a job is, and the one line that explains it: an ordered chain of questions to what was observed."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from finetune_api.reasons import Reason
from finetune_api.report import NOT_RETRIED, ExitCode, TrainerState
from finetune_api.status import Phase
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import End, Observation, PodState, Terminated
from finetune_operator.job.preflight import preflight_spec
from finetune_operator.status.failures.disruptions import describe_disruption, lost_since, notice, untold
from finetune_operator.status.failures.why_failed import group_failure, is_last, job_failure
from finetune_operator.status.messages import describe_end, describe_progress
from finetune_operator.status.phase.facts import Facts, gather_facts
from finetune_operator.status.phase.next_look import next_look
from finetune_operator.status.phase.preflight import decide_preflight
from finetune_operator.status.stalls.ending import end_stalled, still_ending, was_stalled
from finetune_operator.status.verdict import Verdict
from finetune_operator.status.waiting.deadline import pre_running_deadline, pre_running_due

_FROM_NOTHING: Final = "comes, and no checkpoint is known that it could go on from"


def decide(
    finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, known: TrainerState, now: datetime
) -> Verdict:
    """Phase and message of a job that has not ended, and when to look again."""
    preflight = None if observed.job or observed.blocked else observed.preflight
    stage = preflight or observed
    given = preflight_spec(spec) if preflight else spec
    facts = gather_facts(given, finetunejob.status, stage, known, now)
    due = pre_running_due(finetunejob, spec, observed)
    verdict = decide_preflight(facts) if preflight else _decide_training(facts)
    if due is not None and due <= now:
        return pre_running_deadline(spec, observed, verdict, now)
    if refused := observed.unchanged or observed.under_way.unchanged:
        verdict = replace(
            verdict, message=f"{refused}; {verdict.message}" if verdict.ended is None else verdict.message
        )
    return replace(verdict, explained=facts.waits.explained, again=next_look(verdict, facts, due))


def _decide_training(facts: Facts) -> Verdict:
    """By the Job that trains: the first answer that fits."""
    job, suspend, waits = facts.observed.job, facts.spec.suspend, facts.waits
    if job is not None and job.end is not None:
        return _ended(job.end, facts)
    ending = still_ending(facts.spec, facts.before, facts.observed)
    if ending is not None:
        return ending
    if job is None:
        return Verdict("Queued" if waits.reason == Reason.BUDGET_USED_UP else "Pending", waits.reason, waits.message)
    if job.suspended:
        return _suspended(facts) if suspend else Verdict("Queued", waits.reason, waits.message)
    verdict = _by_newest_pods(facts)
    if suspend:
        # Our patch was sent before this was asked: a Job that runs was started by another.
        return replace(verdict, message=f"spec.suspend is set, and {_started_again(facts)}: {verdict.message}")
    return verdict


def _ended(end: End, facts: Facts) -> Verdict:
    ended = end.time or facts.now
    if end.succeeded:
        return Verdict("Succeeded", Reason.SUCCEEDED, describe_end(facts.spec, facts.known), ended)
    failure = job_failure(end, facts.observed, facts.spec)
    return Verdict("Failed", failure.reason, failure.message, ended, failure=failure)


def _suspended(facts: Facts) -> Verdict:
    if facts.lost is not None:
        return Verdict("Suspended", Reason.NODE_LOST, f"suspended, but {facts.lost}")
    if running := [pod for pod in facts.observed.pods if pod.running]:
        then = next(filter(None, map(untold, running)), "the trainer saves a checkpoint and stops")
        return Verdict("Suspended", Reason.STOPPING, f"suspended: {then}")
    checkpoints = facts.known.checkpoints
    where = f" at step {checkpoints[-1].step}" if checkpoints else ""
    unheld = f"; Kueue may start it before, since {facts.observed.unheld}" if facts.observed.unheld else ""
    return Verdict("Suspended", Reason.SUSPENDED, f"suspended{where}; set spec.suspend to false to go on{unheld}")


def _started_again(facts: Facts) -> str:
    """Why a Job runs that was suspended, and what is done about it."""
    unheld = facts.observed.unheld
    if facts.observed.unchanged:
        return "its Job runs on"
    if unheld is None:
        return "somebody started the Job again (with Kueue, deactivate its Workload instead)"
    return (
        f"Kueue started the Job again, since {unheld}" if unheld else "Kueue, which had started the Job again, stops it"
    )


def _by_newest_pods(facts: Facts) -> Verdict:
    pods, nodes, waits = facts.observed.newest, facts.spec.resources.nodes, facts.waits
    first = next((pod for pod in pods if pod.index == 0), None)
    if first is not None and first.terminated is not None and first.terminated.exit_code == 0:
        message = "the trainer has finished; waiting for the Job to complete"
        return Verdict(_phase_before(facts), Reason.FINISHING, message)
    if facts.failed:
        return _between_attempts(facts, *facts.failed)
    up = [pod for pod in pods if pod.terminated or (pod.running and lost_since(pod, facts.now) is None)]
    if first is not None and len(up) >= nodes:
        return _with_notice(facts, _training(facts, first))
    others = f"{len(up)} of {nodes} pods run; " if nodes > 1 else ""
    return Verdict("Pending", waits.reason, others + waits.message)


def _with_notice(facts: Facts, verdict: Verdict) -> Verdict:
    """The same with what is about to take one of the pods away, if anything is."""
    cause = notice(facts.observed, facts.now)
    if cause is None or verdict.ended is not None:
        return verdict
    return replace(verdict, reason=cause.reason, message=f"{cause.message}; {verdict.message}")


def _phase_before(facts: Facts) -> Phase:
    before = facts.before.phase
    return before if before in ("Preparing", "Running") else "Running"


def _between_attempts(facts: Facts, pod: PodState, ended: Terminated) -> Verdict:
    """The attempt has failed, and the Job controller has not yet decided what follows."""
    what = group_failure(pod, ended, facts.spec).message
    final = ended.exit_code in NOT_RETRIED or is_last(facts.observed.pods, facts.spec, ended=True)
    if ended.counted and final:
        return Verdict(_phase_before(facts), Reason.FAILING, what)
    reason, saved = Reason.RESUMING, bool(facts.known.checkpoints)
    then = f"a new attempt {'goes on from the last checkpoint' if saved else _FROM_NOTHING}"
    if ended.exit_code == ExitCode.STOPPED:
        # A trainer that is stopped as it begins has nothing to save, and a shell that is stopped ends by the same code.
        what, then = "the pod was stopped", f"a new one {'goes on from there' if saved else _FROM_NOTHING}"
        if was_stalled(facts.before.attempts, facts.observed):
            reason, what, then = Reason.RETRYING, "the attempt stood still and was ended", "a new one comes"
        elif ended.disrupted:
            what = f"{describe_disruption(ended.disrupted, pod.node)}{'; a checkpoint was saved' if saved else ''}"
        elif saved:
            what = "the pod was stopped and had saved a checkpoint"
    elif ended.counted:
        reason, what, then = Reason.RETRYING, f"the attempt failed: {what}", "a new one comes"
    if facts.waits.explained:
        then = facts.waits.message
    return Verdict("Pending", reason, f"{what}; {then}")


def _training(facts: Facts, pod: PodState) -> Verdict:
    attempts = facts.before.attempts
    trains = facts.before.phase == "Running" and bool(attempts) and attempts[-1].pod == pod.name
    # Right after a start of the operator, the status of this very pod still holds.
    nodes = facts.spec.resources.nodes
    unheard = facts.unheard
    if unheard is not None and not unheard.said and facts.now < unheard.said_at:
        unheard = None
    if pod.report is None and not trains:
        runs, waits = (
            ("the pod runs", "waiting for")
            if nodes == 1
            else (f"all {nodes} pods run", "waiting for them to meet, and for")
        )
        if unheard is not None:
            return Verdict("Preparing", Reason.REPORTS_MISSING, f"{runs}, and {unheard}")
        return Verdict("Preparing", Reason.PREPARING, f"{runs}; {waits} the trainer's first report")
    report = pod.report.body.report if pod.report is not None else None
    if report is not None and report.stage == "Preparing":
        message = "preparing: " + (report.message or "loading model and data")
        # Within an attempt the phase never goes back, whatever a pod reports.
        return (
            Verdict("Running", Reason.TRAINING, message) if trains else Verdict("Preparing", Reason.PREPARING, message)
        )
    still = facts.still
    stage = report.stage if report is not None else "Finished" if still is not None and still.finished else "Training"
    what = describe_progress(facts.spec, facts.known, stage)
    if still is not None and facts.lost is None:
        ended = end_stalled(facts.spec, attempts, facts.known, still, facts.now)
        if ended is not None:
            return ended
    if unheard is not None:
        return Verdict("Running", Reason.REPORTS_MISSING, f"{what}; {unheard}")
    if still is not None and still.said_at <= facts.now:
        return Verdict("Running", Reason.NOT_MOVING, f"{what}; {still.describe(facts.now)}")
    return Verdict("Running", stage, what)
