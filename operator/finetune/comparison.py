"""Runs beside each other: the settings that differ, and what came of them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from finetune.snapshot import Snapshot
from finetune_api.base import JsonObject
from finetune_api.training import LOWER_IS_BETTER

_OF_THE_JOB_ALONE: Final = ("suspend", "runToken", "runPolicy")
"""Fields that do not shape a run."""


@dataclass(frozen=True)
class Row:
    """A setting or a metric of each run, None where a run has none."""

    name: str
    values: tuple[Any, ...]
    best: tuple[int, ...] = ()
    """Places of the runs with the best value."""


@dataclass(frozen=True)
class Comparison:
    """Two or more runs."""

    names: tuple[str, ...]
    """Of the jobs; namespace/name where they are of several namespaces."""
    settings: tuple[Row, ...]
    metrics: tuple[Row, ...]
    cost: tuple[Row, ...]
    curves: dict[str, list[tuple[int, float]]]
    """The loss of each run, by its name in `names`."""

    def to_wire(self) -> JsonObject:
        """Return it as JSON."""
        return {
            "jobs": list(self.names),
            **{
                part: {row.name: dict(zip(self.names, row.values, strict=True)) for row in getattr(self, part)}
                for part in ("settings", "metrics", "cost")
            },
            "curves": {name: {"loss": [list(point) for point in points]} for name, points in self.curves.items()},
        }


def compare(jobs: Sequence[Snapshot]) -> Comparison:
    """Compare the present runs of jobs."""
    several = len({job.namespace for job in jobs}) > 1
    names = tuple(f"{job.namespace}/{job.name}" if several else job.name for job in jobs)
    return Comparison(
        names=names,
        settings=tuple(_different(jobs)),
        metrics=tuple(_metrics(jobs)),
        cost=tuple(_cost(jobs)),
        curves={
            name: job.status.curves.points("loss") if job.status.curves else []
            for name, job in zip(names, jobs, strict=True)
        },
    )


def _different(jobs: Sequence[Snapshot]) -> Iterator[Row]:
    """Settings that are not the same in all runs, by their path in the spec."""
    flat = [dict(_flat(job.spec)) for job in jobs]
    for path in dict.fromkeys(path for each in flat for path in each):
        values = tuple(each.get(path) for each in flat)
        if path.partition(".")[0] not in _OF_THE_JOB_ALONE and any(value != values[0] for value in values):
            yield Row(path, values)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _flat(each, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def _metrics(jobs: Sequence[Snapshot]) -> Iterator[Row]:
    """The newest metrics, with the best of each row."""
    of_each = [{metric.name: _number(metric.value) for metric in job.status.metrics} for job in jobs]
    for name in dict.fromkeys(name for metrics in of_each for name in metrics):
        values = tuple(metrics.get(name) for metrics in of_each)
        yield Row(name, values, _best(name, values))


def _best(name: str, values: tuple[float | None, ...]) -> tuple[int, ...]:
    if name in ("learning_rate", "grad_norm", "epoch"):
        return ()
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ()
    best = min(known) if name.removeprefix("eval_") in LOWER_IS_BETTER else max(known)
    return tuple(place for place, value in enumerate(values) if value == best)


def _cost(jobs: Sequence[Snapshot]) -> Iterator[Row]:
    usage = [job.status.usage for job in jobs]
    yield Row("GPU-hours", tuple(each and round(each.gpu_seconds.total / 3600, 3) for each in usage))
    yield Row("pod-hours", tuple(each and round(each.pod_seconds / 3600, 3) for each in usage))
    costs = tuple(f"{each.cost.amount} {each.cost.currency}" if each and each.cost else None for each in usage)
    if any(costs):
        yield Row("cost", costs)
    yield Row("steps", tuple(job.status.progress.step if job.status.progress else None for job in jobs))
    yield Row("phase", tuple(job.phase for job in jobs))


def _number(text: str) -> float | None:
    """The number; None of what is none that is finite, which JSON does not know and nobody can rank."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
