"""The present state of a run, as reports and the final report have it."""

import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal

from finetune_api.curves import Curves
from finetune_api.preflight import Preflight
from finetune_api.reasons import Reason
from finetune_api.report import FinalReport, Report, Stage, TrainerState
from finetune_api.status import (
    MAX_ADJUSTMENTS,
    MAX_CHECKPOINTS,
    MAX_METRICS,
    MAX_WARNINGS,
    Adjustment,
    BestCheckpoint,
    Checkpoint,
    Evaluation,
    ExportedModel,
    Failure,
    MetricValue,
    Progress,
    Provenance,
    RunWarning,
    TrackedRun,
)
from finetune_trainer.base.redaction import redact
from finetune_trainer.progress.attempt_log import AttemptLog
from finetune_trainer.progress.curves import RunCurves
from finetune_trainer.progress.heartbeat import Heartbeat


def format_number(value: float) -> str:
    """Return six significant digits, written out: 0.00005 and not 5e-05, unless that is longer than 24 characters."""
    text = format(Decimal(f"{value:.6g}"), "f")
    return text if len(text) <= 24 else f"{value:.6g}"


def format_epoch(epoch: float) -> str:
    """Return an epoch with at most two decimals: "1.12", "1.0"."""
    return str(round(epoch, 2))


def metric_values(metrics: Mapping[str, float]) -> list[MetricValue]:
    """Return metrics as the API has them; of more than MAX_METRICS the first."""
    values = [MetricValue(name=name[:64], value=format_number(value)) for name, value in metrics.items()]
    return values[:MAX_METRICS]


def _rounded(seconds: float) -> int:
    """Two digits are enough, and do not change with each step."""
    return int(float(f"{seconds:.2g}")) or 1


class RunState:
    """What is known of the run now. The threads that train and save write it, the reporter's thread reads it."""

    def __init__(self, heartbeat: Heartbeat | None = None, log: AttemptLog | None = None) -> None:
        self.log = log or AttemptLog()
        """What the process logs."""
        self.heartbeat = heartbeat or Heartbeat()
        """Says that the run moves, where somebody watches."""
        self.changed = threading.Event()
        self.changed.set()
        self.urgent = threading.Event()
        """Set when the run gets into another phase, which is worth a report of its own."""
        self._lock = threading.RLock()  # a signal handler makes the final report, perhaps in the middle of an update
        self._stage: Stage = "Preparing"
        self._message: str | None = "starting"
        self._state = TrainerState()
        self._sequence = 0
        self._undelivered: str | None = None
        self._curves: RunCurves | None = None

    @property
    def current(self) -> TrainerState:
        return self._state

    @property
    def current_stage(self) -> Stage:
        return self._stage

    def stage(self, stage: Stage, message: str | None = None) -> None:
        """Set what the run does now; `message` is for people."""
        with self._lock:
            if self._stage == "Preparing" and stage != "Preparing":
                self.urgent.set()
            self._stage = stage
            self._message = redact(message)[:256] if message else None
        self.heartbeat.stage(stage, self._message)
        self.changed.set()

    @property
    def undelivered(self) -> str | None:
        """Why reports do not arrive; None where they do."""
        return self._undelivered

    def set_undelivered(self, why: str | None) -> None:
        """Set why reports do not arrive, for the final report, which goes another way."""
        with self._lock:
            self._undelivered = why

    def set_progress(self, progress: Progress) -> None:
        self._update(progress=progress)

    def set_metrics(self, metrics: Mapping[str, float]) -> None:
        """Set the newest value of some metrics; the others keep theirs."""
        known = {metric.name: metric for metric in self.current.metrics}
        new = {metric.name: metric for metric in metric_values(metrics)}
        self._update(metrics=list({**known, **new}.values())[:MAX_METRICS])

    def set_evaluations(self, evaluations: Sequence[Evaluation]) -> None:
        """Set the newest evaluations, oldest first."""
        self._update(evaluations=list(evaluations))

    def set_curves(self, curves: RunCurves) -> None:
        """Set where reports take their curves from."""
        with self._lock:
            self._curves = curves
        self.changed.set()

    def set_checkpoints(self, checkpoints: Sequence[Checkpoint], best: BestCheckpoint | None) -> None:
        """Set the checkpoints that there are, oldest first, and the best one; of too many the newest."""
        self._update(checkpoints=list(checkpoints[-MAX_CHECKPOINTS:]), best_checkpoint=best)

    def set_adjustments(self, adjustments: Sequence[Adjustment]) -> None:
        """Set what the run changed by itself; of too many the newest."""
        self._update(adjustments=list(adjustments[-MAX_ADJUSTMENTS:]))

    def add_warning(self, reason: Reason, message: str) -> None:
        """Add what is probably a mistake. The same again, or one beyond MAX_WARNINGS, is ignored."""
        warning = RunWarning(reason=reason, message=redact(message)[:512])
        with self._lock:
            if warning not in self._state.warnings and len(self._state.warnings) < MAX_WARNINGS:
                self._update(warnings=[*self._state.warnings, warning])

    def set_preflight(self, preflight: Preflight) -> None:
        self._update(preflight=preflight)

    def set_model(self, model: ExportedModel) -> None:
        self._update(model=model)

    def set_log(self, uri: str) -> None:
        """Set where the log of this attempt is."""
        if uri != self.current.log:
            self._update(log=uri)

    def set_resumed_from(self, step: int) -> None:
        self.heartbeat.resumed_from(step)
        self._update(resumed_from_step=step)

    def set_provenance(self, provenance: Provenance) -> None:
        self._update(provenance=provenance)

    def set_tracker(self, run: TrackedRun) -> None:
        """Set what is known of the run at one tracker."""
        with self._lock:
            others = [each for each in self._state.tracking if each.tracker != run.tracker]
            self._update(tracking=sorted([*others, run], key=lambda each: each.tracker))

    def report(self) -> Report:
        """Return the next report: its sequence number is one higher than that of the last one."""
        with self._lock:
            self._sequence += 1
            deadline = self.heartbeat.deadline
            news = {"deadline_seconds": _rounded(deadline)} if deadline else {}
            progress = self._state.progress and self._state.progress.model_copy(update=news)
            return Report(
                **{**dict(self._state), "progress": progress, "curves": self._thinned_curves()},
                sequence=self._sequence,
                stage=self._stage,
                message=self._message,
            )

    def final(self, exit_code: int, failure: Failure | None) -> FinalReport:
        """Return the final report. Safe in a signal handler."""
        with self._lock:
            fields = {**dict(self._state), "curves": self._thinned_curves()}
            if self._undelivered:
                warning = RunWarning(reason=Reason.REPORTS_MISSING, message=redact(self._undelivered)[:512])
                fields["warnings"] = [warning, *self._state.warnings][:MAX_WARNINGS]
            return FinalReport(**fields, exit_code=exit_code, failure=failure)

    def _thinned_curves(self) -> Curves | None:
        return self._curves.thinned() if self._curves else None

    def _update(self, **fields: object) -> None:
        with self._lock:
            self._state = self._state.model_copy(update=fields)
        self.changed.set()
