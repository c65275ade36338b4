"""Merges the reports of the pods into what the status holds. Nothing is lost where a report leaves it out."""

import logging
from collections.abc import Sequence
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

_Row = TypeVar("_Row", Evaluation, Checkpoint)

logger = logging.getLogger(__name__)

_METRICS_OF_A_ROW = 8
"""Metrics kept of one evaluation or checkpoint, so that the whole object stays small."""


def merge_reports(previous: FineTuneJobStatus, attempts: Sequence[PodState], unread: str, keep: int) -> TrainerState:
    """What is known now: what the status holds, then what each attempt reported that is not in it yet, oldest first.

    The status takes in an attempt's final report together with its end, in one write. So an attempt that has ended there
    has nothing more to report, and its older report never overwrites that of a newer attempt.

    Args:
        attempts: The tracked attempts of the preflight, then those of the training.
        unread: What was wrong with a report that was dropped before it came here.
        keep: Number of newest checkpoints that the trainer keeps.
    """
    known = TrainerState.model_validate(previous.model_dump(exclude_none=True))
    ended = {attempt.pod for attempt in previous.attempts if attempt.end_time}
    for pod in attempts:
        if pod.name in ended:
            continue
        try:
            known = _merge_pod(known, pod, keep)
        except (ValueError, ArithmeticError) as error:
            # What a pod reports must never keep its job from ending as the Job ended.
            logger.warning("dropped what pod %s reported, since it cannot be digested: %s", pod.name, error)
            unread = unread or f"pod {pod.name}: all of it"
        if pod.unread:
            unread = unread or f"pod {pod.name}: {pod.unread} of its final report"
    return known.model_copy(update={"warnings": _warnings(previous, known, unread)})


def _merge_pod(known: TrainerState, pod: PodState, keep: int) -> TrainerState:
    """What is known after a pod's report and its final report."""
    if pod.report is not None:
        known = _merge_state(known, state_of(pod.report.body))
        progress = (known.progress or Progress()).model_copy(update={"last_report_time": pod.report.time})
        known = known.model_copy(update={"progress": progress})
    if pod.final is not None:
        known = _merge_final(known, pod.final, keep)
    return known


def _warnings(previous: FineTuneJobStatus, known: TrainerState, unread: str) -> list[RunWarning]:
    """The trainer's warnings, and at most one of the operator's: the first stays."""
    ours = [warning for warning in previous.warnings if warning.reason == Reason.REPORT_NOT_UNDERSTOOD]
    if unread and not ours:
        message = f"what the trainer reported could not be read and was left out: {printable(unread)}"
        ours = [RunWarning(reason=Reason.REPORT_NOT_UNDERSTOOD, message=message[:512])]
    theirs = [warning for warning in known.warnings if warning.reason != Reason.REPORT_NOT_UNDERSTOOD]
    return [*theirs[: MAX_WARNINGS - len(ours[:1])], *ours[:1]]


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
    elif progress is not None and progress.last_report_time is None and known.progress is not None:
        news["progress"] = progress.model_copy(update={"last_report_time": known.progress.last_report_time})
    return known.model_copy(update=news)


def _merge_final(known: TrainerState, final: FinalReport, keep: int) -> TrainerState:
    """A final report may have left out older evaluations and checkpoints to fit into 4 KiB, so they are added up."""
    evaluations = {e.step: e for e in [*known.evaluations, *final.evaluations]}
    learned = _merge_state(known, final)
    return learned.model_copy(
        update={
            "evaluations": [_bounded(evaluations[step]) for step in sorted(evaluations)][-MAX_EVALUATIONS:],
            "checkpoints": _add_checkpoints(known, final, keep),
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
