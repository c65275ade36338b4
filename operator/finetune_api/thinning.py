"""Makes curves of a history, as small as they have to be. Each point of a curve is one that was measured.

As a run grows, points are kept in strides of steps that double when there are too many, so that what is thinned twice is as
good as what is thinned once. With them stay the first and the last point, the lowest and the highest one of each series,
and, while there is room, those that lie farthest from the line between their neighbours: a spike is never lost.
"""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from finetune_api.curves import (
    MAX_CURVES_BYTES,
    MAX_POINTS,
    MAX_SERIES,
    TRAINING_SERIES,
    Curve,
    Curves,
    Series,
    format_points,
)
from finetune_api.printable import printable

_FEWEST: Final = 8
"""Points of a curve that is not worth its place if it must have fewer."""


_ENVELOPE: Final = len('{"stepsPerEpoch":"1.23456e+100","training":,"evaluation":}')


@dataclass(frozen=True)
class Point:
    """What was measured at a step."""

    step: int
    values: Mapping[str, float]


def make_curves(
    training: Sequence[Point],
    evaluation: Sequence[Point],
    steps_per_epoch: float | None = None,
    most_bytes: int = MAX_CURVES_BYTES,
) -> Curves:
    """Return the curves of a history, thinned to MAX_POINTS a series, and to fewer where `most_bytes` of JSON take no more.

    Without any field if nothing was measured.

    Args:
        training: Points in the order of their steps, none twice; so are those of `evaluation`.
    """
    points = {"training": training, "evaluation": evaluation}
    names = {"training": _names(training, TRAINING_SERIES), "evaluation": _names(evaluation)}
    per_epoch = f"{steps_per_epoch:.6g}" if steps_per_epoch and math.isfinite(steps_per_epoch) else None
    most = dict.fromkeys(points, MAX_POINTS)
    while True:
        points = {which: thin(points[which], names[which], most[which]) for which in points}
        curves = {which: _curve(points[which], names[which]) for which in points}
        if _ENVELOPE + sum(_size(curve) for curve in curves.values()) <= most_bytes or not any(curves.values()):
            return Curves(steps_per_epoch=per_epoch, **curves) if any(curves.values()) else Curves()
        larger = max(curves, key=lambda which: _size(curves[which]))
        most[larger] = len(points[larger]) * 3 // 4 if len(points[larger]) > _FEWEST else 0


def shrink(curves: Curves, most_bytes: int = MAX_CURVES_BYTES) -> Curves:
    """Return curves that take at most `most_bytes` of JSON; the same ones if they do."""
    if _size(curves) <= most_bytes:
        return curves
    per_epoch = float(curves.steps_per_epoch) if curves.steps_per_epoch else None
    return make_curves(points_of(curves.training), points_of(curves.evaluation), per_epoch, most_bytes)


def join(before: Curves, newest: Curves, until: float = math.inf) -> Curves:
    """Return `newest`, which may have fewer points, with those of `before` up to step `until`: later ones were lost."""
    per_epoch = newest.steps_per_epoch or before.steps_per_epoch
    return make_curves(
        _joined(points_of(before.training), points_of(newest.training), until),
        _joined(points_of(before.evaluation), points_of(newest.evaluation), until),
        float(per_epoch) if per_epoch else None,
    )


def points_of(curve: Curve | None) -> list[Point]:
    """Return the points of a curve."""
    if curve is None:
        return []
    values = [(name, curve.values(name)) for name in curve.names]
    return [
        Point(step, {name: numbers[place] for name, numbers in values if not math.isnan(numbers[place])})
        for place, step in enumerate(curve.at)
    ]


def thin(points: Sequence[Point], names: Sequence[str], most: int) -> list[Point]:
    """Return at most `most` of the points, in their order, for the series `names`."""
    if len(points) <= most or most == 0:
        return list(points[:most])
    kept = set(_landmarks(points, names)[:most])
    span = points[-1].step - points[0].step
    stride = 1 << max(0, (span // most).bit_length() - 1)
    while len(kept | (regular := _regular(points, stride))) > most * 3 // 4 and stride <= span:
        stride *= 2
    if len(kept | regular) <= most:
        kept |= regular
    kept.update(_farthest(points, names, sorted(kept), most - len(kept)))
    return [points[place] for place in sorted(kept)]


def _landmarks(points: Sequence[Point], names: Sequence[str]) -> list[int]:
    """The places of the first and the last point, and of the highest and lowest one of each series; each once."""
    places = [0, len(points) - 1]
    for name in names:
        measured = [place for place, point in enumerate(points) if name in point.values]
        if measured:
            places.append(max(measured, key=lambda place: points[place].values[name]))
            places.append(min(measured, key=lambda place: points[place].values[name]))
    return list(dict.fromkeys(places))


def _regular(points: Sequence[Point], stride: int) -> set[int]:
    """The places of the first point in each stride of steps, counted from step 0."""
    strides = [point.step // stride for point in points]
    return {0, *(place for place, (before, now) in enumerate(pairwise(strides), start=1) if now != before)}


def _farthest(points: Sequence[Point], names: Sequence[str], kept: Sequence[int], most: int) -> list[int]:
    """The places of the points that lie farthest from the lines between those that are kept, each series in its own range."""
    distances: dict[int, float] = {}
    for name in names:
        values = [point.values[name] for point in points if name in point.values]
        height = max(values, default=0.0) - min(values, default=0.0)
        if height > 0 and math.isfinite(height):
            for place, distance in _distances(points, name, kept):
                distances[place] = max(distances.get(place, 0.0), distance / height)
    return heapq.nlargest(most, distances, key=lambda place: distances[place])


def _distances(points: Sequence[Point], name: str, kept: Sequence[int]) -> Iterator[tuple[int, float]]:
    for left, right in pairwise(place for place in kept if name in points[place].values):
        start, end = points[left], points[right]
        slope = (end.values[name] - start.values[name]) / (end.step - start.step)
        for place in range(left + 1, right):
            value = points[place].values.get(name)
            if value is not None:
                yield place, abs(value - start.values[name] - slope * (points[place].step - start.step))


def _joined(before: Sequence[Point], newest: Sequence[Point], until: float) -> list[Point]:
    by_step = {point.step: point for point in before if point.step <= until}
    by_step.update({point.step: point for point in newest})
    return [by_step[step] for step in sorted(by_step)]


def _names(points: Sequence[Point], only: Sequence[str] = ()) -> list[str]:
    """The names of the series, in their order, as far as a curve can have them; of too many the first."""
    names = dict.fromkeys(
        name for point in points for name in point.values if 0 < len(name) <= 64 and printable(name) == name
    )
    return [name for name in only or names if name in names][:MAX_SERIES]


def _curve(points: Sequence[Point], names: Sequence[str]) -> Curve | None:
    if not points or not names:
        return None
    values = {name: format_points(point.values.get(name, math.nan) for point in points) for name in names}
    series = [Series(name=name, values=text) for name, text in values.items()]
    return Curve(steps=" ".join(str(point.step) for point in points), series=series)


def _size(part: Curves | Curve | None) -> int:
    return len(part.model_dump_json(by_alias=True, exclude_none=True).encode()) if part else 0
