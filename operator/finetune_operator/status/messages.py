"""What happens in a run, in words: one line as long as the API takes it."""

import re

from finetune_api.printable import printable
from finetune_api.reasons import Reason
from finetune_api.report import Stage, TrainerState
from finetune_api.status import Adjustment
from finetune_api.training import MAIN_METRICS
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.values import MAX_MESSAGE

_STAGES: dict[Stage, str] = {"Evaluating": "evaluating: ", "Saving": "saving: ", "Exporting": "exporting the model: "}

_MOST = 1e9
"""From here on a number in a message would be nothing but digits."""


def describe_progress(spec: FineTuneJobSpec, known: TrainerState, stage: Stage) -> str:
    """Such as `epoch 1.1 of 3, loss 1.20, accuracy 0.58, about 5 min left`; then what the run changed by itself last."""
    parts = [_position(spec, known), *_values(spec, known)]
    eta = known.progress.eta_seconds if known.progress else None
    if eta and stage == "Training":
        parts.append(f"about {duration(eta)} left")
    line = _STAGES.get(stage, "") + ", ".join(part for part in parts if part)
    return "; ".join([line, *map(_describe_adjustment, known.adjustments[-1:])])


def describe_end(spec: FineTuneJobSpec, known: TrainerState) -> str:
    """Such as `finished after 375 steps, loss 0.52, accuracy 0.91`, or why it stopped before; then which trackers lack something."""
    behind = [each.tracker for each in known.tracking if each.message]
    lacking = f"; not all has arrived at {', '.join(behind)}: see status.tracking" if behind else ""
    return _describe_result(spec, known) + lacking


def _describe_result(spec: FineTuneJobSpec, known: TrainerState) -> str:
    values = _values(spec, known)
    stop = next((each for each in known.adjustments if each.reason == Reason.EARLY_STOPPING), None)
    if stop is not None:
        return "; ".join(filter(None, [_describe_adjustment(stop), ", ".join(values)]))
    steps = known.progress.step if known.progress else 0
    return ", ".join(["finished" + (f" after {steps} steps" if steps else ""), *values])


def _describe_adjustment(adjustment: Adjustment) -> str:
    if adjustment.reason == Reason.EARLY_STOPPING:
        return f"stopped early at step {adjustment.step}: {adjustment.message}"
    return f"since step {adjustment.step}: {adjustment.message}"


def duration(seconds: int) -> str:
    """A time span in words: `40 s`, `5 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _position(spec: FineTuneJobSpec, known: TrainerState) -> str:
    progress = known.progress
    if progress is None or not (progress.step or progress.percent):
        return "the first step is under way"
    epoch = _number(progress.epoch)
    if epoch is not None:
        return f"epoch {epoch:.1f} of {spec.training.epochs:g}"
    return f"step {progress.step}" if progress.step else f"{progress.percent} % done"


def _values(spec: FineTuneJobSpec, known: TrainerState) -> list[str]:
    """The loss, and the metric that matters most to the user."""
    values = {metric.name: metric.value for metric in known.metrics}
    evaluation = spec.evaluation
    candidates = [evaluation.best_metric] if evaluation.best_metric else evaluation.metrics or MAIN_METRICS[spec.task]
    chosen = next((metric for metric in candidates if f"eval_{metric}" in values), None)
    wanted = [("loss", "loss")]
    if chosen is not None:
        wanted.append((f"eval_{chosen}", "evaluation loss" if chosen == "loss" else chosen))
    found = [(label, _number(values.get(name))) for name, label in wanted]
    return [f"{label} {value:.2f}" for label, value in found if value is not None]


def _number(text: str | None) -> float | None:
    """A number that can be said in a few digits."""
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < _MOST else None


def to_reason(text: str) -> str:
    """A foreign reason as the API takes it: CamelCase, at most 64 characters."""
    return re.sub(r"[^A-Za-z0-9]|^[0-9]+", "", text)[:64] or Reason.UNKNOWN


def cut(message: str) -> str:
    """A message as long as the API takes it, on one line that can be shown."""
    line = " ".join(printable(message).split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
