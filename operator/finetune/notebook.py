"""A job as a notebook shows it: phase, bar, why, and its curves as inline SVG. All of it is text to the browser, no script."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from finetune.snapshot import Snapshot
from finetune.summary import NOTHING, SHAPES, best, metric_name, why

_WIDTH, _HEIGHT = 320, 96
_LOSSES: Final = ("loss", "eval_loss")
_MOST_CURVES: Final = 4

Points = Sequence[tuple[int, float]]


def job_html(job: Snapshot) -> str:
    """Return the job as HTML: in the notebook's own colours, light or dark."""
    status, progress = job.status, job.status.progress
    parts = [f"<b>{SHAPES[job.phase]} {escape(job.phase)}</b> {escape(job.namespace)}/{escape(job.name)}"]
    if progress is not None:
        steps = (
            f"{progress.step:,} of {progress.total_steps:,} steps"
            if progress.total_steps
            else f"{progress.step:,} steps"
        )
        parts.append(
            f'<progress max="100" value="{progress.percent}">{progress.percent} %</progress> {progress.percent} %, {steps}'
        )
    parts += [escape(text) for text in (best(job), why(job)) if text != NOTHING]
    if status.failure is not None and job.phase == "Failed" and status.failure.hint:
        parts.append(escape(status.failure.hint))
    return f"<div>{''.join(f'<div>{part}</div>' for part in parts)}{_charts(job)}</div>"


def _charts(job: Snapshot) -> str:
    curves = job.status.curves
    if curves is None:
        return ""
    names = [name for curve in (curves.training, curves.evaluation) if curve for name in curve.names]
    losses = [name for name in names if name in _LOSSES]
    scores = [name for name in names if name.startswith("eval_") and name not in _LOSSES]
    return "".join(chart(name, curves.points(name)) for name in [*losses, *scores][:_MOST_CURVES])


def chart(name: str, points: Points) -> str:
    """Return one curve over its steps as a figure, with its last value in words; "" where it has no point."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    if not finite:
        return ""
    steps, values = [step for step, _ in finite], [value for _, value in finite]
    (first, last), (low, high) = (steps[0], steps[-1]), (min(values), max(values))
    line = " ".join(
        f"{4 + (step - first) / max(1, last - first) * (_WIDTH - 8):.1f},"
        f"{_HEIGHT - 4 - (value - low) / ((high - low) or 1) * (_HEIGHT - 8):.1f}"
        for step, value in finite
    )
    # A curve of one point would not be seen.
    end = line.rsplit(" ", 1)[-1].split(",")
    title = f"{metric_name(name)} {values[-1]:.4g}"
    summary = f"{title} at step {last}; lowest {low:.4g}, highest {high:.4g}"
    return (
        f'<figure style="display:inline-block;margin:8px 16px 0 0"><figcaption>{escape(title)}</figcaption>'
        f'<svg role="img" aria-label="{escape(summary)}" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<polyline fill="none" stroke="currentColor" stroke-width="1.5" points="{line}"/>'
        f'<circle cx="{end[0]}" cy="{end[1]}" r="2.5" fill="currentColor"/></svg></figure>'
    )
