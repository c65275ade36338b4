"""Merges the reports of the pods into what the status holds. Nothing is lost where a report leaves it out."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from finetune_api.printable import printable
from finetune_api.reasons import Reason
from finetune_api.report import FinalReport, ReportBody, TrainerState
from finetune_api.status import (
    MAX_CHECKPOINTS,
    MAX_EVALUATIONS,
    MAX_METRICS,
    MAX_WARNINGS,
    Checkpoint,
    Evaluation,
    FineTuneJobStatus,
    Progress,
    RunWarning,
)
from finetune_operator.job.observation import PodState
from finetune_operator.job.report import Received
from finetune_operator.status.reported.curves import final_curves, reported_curves
from finetune_operator.status.reported.size import fit
from finetune_operator.status.stalls.movement import finish_of

_Row = TypeVar("_Row", Evaluation, Checkpoint)

logger = logging.getLogger(__name__)

_OURS = (Reason.REPORT_NOT_UNDERSTOOD, Reason.OUTSIDE_OUTPUT)
"""Warnings that the operator gives, and no trainer."""

_IN_STATUS = TrainerState.model_fields.keys() & FineTuneJobStatus.model_fields.keys()
"""What the status holds of a trainer's state, of the same types."""

_METRICS_OF_A_ROW = 8
"""Metrics kept of one evaluation or checkpoint, so that the whole object stays small."""


def merge_reports(
    previous: FineTuneJobStatus, attempts: Sequence[PodState], unread: str, *, output: str, keep: int
) -> TrainerState:
    """What is known now: what the status holds, then what each attempt reported that is not in it yet, oldest first.

    The status takes in an attempt's final report together with its end, in one write. So an attempt that has ended there
    has nothing more to report, and its older report never overwrites that of a newer attempt.

    Args:
        attempts: The tracked attempts of the preflight, then those of the training, with no places but the job's own.
        unread: What was wrong with a report that was dropped before it came here.
        output: URI of the job's output, below which all that it makes lies.
        keep: Number of newest checkpoints that the trainer keeps.
    """
    known = TrainerState.model_construct(**{name: getattr(previous, name) for name in _IN_STATUS})
    newest = previous.attempts[-1].pod if previous.attempts else None
    ended = {attempt.pod for attempt in previous.attempts if attempt.end_time}
    heard = {attempt.pod for attempt in previous.attempts if attempt.last_step is not None}
    reporting = [pod for pod in attempts if pod.name not in ended]
    for pod in reporting:
        try:
            before = known.progress if pod.name == newest else None
            known = _merge_pod(known, before, pod, keep, heard=pod.name in heard)
        except (ValueError, ArithmeticError) as error:
            # What a pod reports must never keep its job from ending as the Job ended.
            logger.warning("dropped what pod %s reported, since it cannot be digested: %s", pod.name, error)
            unread = unread or f"pod {pod.name}: all of it"
        if pod.unread:
            unread = unread or f"pod {pod.name}: {pod.unread} of its final report"
    news = {}
    if unread:
        news[Reason.REPORT_NOT_UNDERSTOOD] = f"what the trainer reported could not be read and was left out: {unread}"
    foreign = next((pod.foreign for pod in reporting if pod.foreign is not None), None)
    if foreign is not None:
        news[Reason.OUTSIDE_OUTPUT] = f"the trainer reported {foreign}, which is not below the output {output}"
    known = fit(known)
    return known.model_copy(update={"warnings": _warnings(previous, known, news)})


def _merge_pod(known: TrainerState, before: Progress | None, pod: PodState, keep: int, *, heard: bool) -> TrainerState:
    """What is known after a pod's report and its final report. `before` is the progress that the status has of this pod."""
    if pod.report is not None:
        times: dict[str, object] = {
            "last_report_time": pod.report.time,
            "last_progress_time": _moved_at(before, pod.report),
        }
        if _has_finished(pod.report):
            times["deadline_seconds"] = None  # it is about steps
        reported = state_of(pod.report.body)
        known = _merge_state(known, reported)
        progress = (known.progress or Progress()).model_copy(update=times)
        known = known.model_copy(update={"progress": progress})
    if pod.final is not None:
        known = _merge_final(known, pod.final, keep, heard=heard or pod.report is not None)
    return known


def _moved_at(before: Progress | None, received: Received) -> datetime | None:
    """When a training moved last whose newest report this is, or had finished; None where it may take as long as it takes.

    Args:
        before: The progress of the same pod before this report.
    """
    report = received.body.report
    if _has_finished(received):
        return finish_of(before) or received.time
    if report is None or report.stage != "Training" or report.progress is None or not report.progress.deadline_seconds:
        return None
    if before is None or not before.deadline_seconds or before.step != report.progress.step:
        return received.time
    return before.last_progress_time or received.time


def _has_finished(received: Received) -> bool:
    return received.body.report is not None and received.body.report.stage == "Finished"


def _warnings(previous: FineTuneJobStatus, known: TrainerState, news: Mapping[Reason, str]) -> list[RunWarning]:
    """The trainer's warnings, and of the operator's own at most one of each reason: the first stays."""
    ours = {warning.reason: warning for warning in previous.warnings if warning.reason in _OURS}
    for reason, message in news.items():
        ours.setdefault(reason, RunWarning(reason=reason, message=printable(message)[:512]))
    theirs = [warning for warning in known.warnings if warning.reason not in _OURS]
    return [*theirs[: MAX_WARNINGS - len(ours)], *ours.values()]


def state_of(body: ReportBody) -> TrainerState:
    """The state in a report, be it of this trainer or of stock transformers."""
    if body.report is not None:
        return body.report
    stock = body.trainer_status
    if stock is None:
        return TrainerState()
    progress = Progress(percent=stock.progress_percentage or 0, eta_seconds=stock.estimated_remaining_seconds)
    return TrainerState(progress=progress, metrics=stock.metrics[:MAX_METRICS])


def _merge_state(known: TrainerState, reported: TrainerState) -> TrainerState:
    """A report holds the whole state. What it leaves empty, such as all of it while preparing, is kept from before."""
    reported = reported.model_copy(
        update={
            "evaluations": [_bounded(evaluation) for evaluation in reported.evaluations],
            "checkpoints": [_bounded(checkpoint) for checkpoint in reported.checkpoints],
        }
    )
    news = {name: value for name in TrainerState.model_fields if (value := getattr(reported, name))}
    progress = reported.progress
    if progress is not None and progress.step == 0 and known.progress is not None and progress.percent == 0:
        # A new attempt that prepares has done no step; where the last one came to is still the better answer.
        news.pop("progress")
    elif progress is not None:
        # When a report came, and when a step, is for our clock to say.
        known_times = known.progress or Progress()
        times = {name: getattr(known_times, name) for name in ("last_report_time", "last_progress_time")}
        news["progress"] = progress.model_copy(update=times)
    if reported.curves is not None:
        news["curves"] = reported_curves(known, reported)
    if reported.provenance is not None:
        # Which image ran is for Kubernetes to say.
        image = known.provenance.image if known.provenance is not None else None
        news["provenance"] = reported.provenance.model_copy(update={"image": image})
    return known.model_copy(update=news)


def _merge_final(known: TrainerState, final: FinalReport, keep: int, *, heard: bool) -> TrainerState:
    """A final report may have left out older evaluations and checkpoints to fit into 4 KiB, so they are added up."""
    evaluations = {e.step: e for e in [*known.evaluations, *final.evaluations]}
    learned = _merge_state(known, final)
    return learned.model_copy(
        update={
            "evaluations": [_bounded(evaluations[step]) for step in sorted(evaluations)][-MAX_EVALUATIONS:],
            "checkpoints": _add_checkpoints(known, final, keep),
            "curves": final_curves(known, final, heard=heard),
        }
    )


def _add_checkpoints(known: TrainerState, final: FinalReport, keep: int) -> list[Checkpoint]:
    by_step = {checkpoint.step: checkpoint for checkpoint in known.checkpoints}
    for checkpoint in final.checkpoints:
        before = by_step.get(checkpoint.step)
        shortened = before is not None and before.uri == checkpoint.uri and not checkpoint.metrics
        by_step[checkpoint.step] = before if shortened and before else _bounded(checkpoint)
    best = final.best_checkpoint or known.best_checkpoint
    steps = sorted(by_step)
    kept = [step for step in steps if step in steps[-keep:] or (best is not None and step == best.step)]
    return [by_step[step] for step in kept][-MAX_CHECKPOINTS:]


def _bounded(row: _Row) -> _Row:
    return row.model_copy(update={"metrics": row.metrics[:_METRICS_OF_A_ROW]})
