"""Curves: the history of a run in its status, thinned so that it stays small. `thinning` makes them.

Numbers stand side by side in one text, parted by spaces: `kubectl get -o yaml` shows a curve in a few lines, and
`-o jsonpath='{.status.curves.training.series[?(@.name=="loss")].values}'` gives what a sparkline takes.

    curves:
      stepsPerEpoch: "125"
      training:                     # what was logged: loss, learning_rate and grad_norm
        steps: 10 20 30             # each point is one that was measured, none is a mean
        series:
        - {name: loss, values: 1.6094 1.4127 1.2034}
        - {name: learning_rate, values: 5e-5 4.8667e-5 4.7333e-5}
        - {name: grad_norm, values: 3.1 nan 2.7}        # nan: no finite number was measured at this step
      evaluation:                   # on the evaluation rows: eval_loss and every other metric
        steps: 125
        series:
        - {name: eval_accuracy, values: "0.581"}

Points have no time of their own: `history.jsonl` is the same to the byte however often a run was resumed. What is drawn
over time takes `trainingStartTime`, `endTime`, `resumedFromStep` and `lastStep` of each attempt.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Final, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from finetune_api.base import LenientModel
from finetune_api.printable import Printable
from finetune_api.values import MAX_COUNT, Decimal

MAX_POINTS: Final = 128
"""Of a series."""
MAX_SERIES: Final = 16
"""Of the training, and of the evaluation."""
MAX_CURVES_BYTES: Final = 6 * 1024
"""Of all curves of a job, as JSON."""
TRAINING_SERIES: Final = ("loss", "learning_rate", "grad_norm")
"""What every engine logs, in this order."""

_NUMBER: Final = r"(-?[0-9]{1,8}(\.[0-9]{1,8})?(e-?[0-2]?[0-9]{1,2})?|nan)"
"""What `format_points` writes. All of them are finite but nan, so that nobody has to try."""


def format_points(values: Iterable[float]) -> str:
    """Return numbers as a curve has them: five significant digits, parted by spaces; `nan` for one that is not finite."""
    return " ".join(_short(value) for value in values)


def _short(value: float) -> str:
    digits, exponent, power = f"{value:.5g}".partition("e")
    if not math.isfinite(value) or (exponent and int(power) > 299):
        return "nan"
    if not exponent:
        return digits
    return f"{digits}e{int(power)}" if int(power) > -300 else "0"


def _ascending(text: str) -> str:
    steps = [int(each) for each in text.split()]
    if len(steps) > MAX_POINTS:
        raise PydanticCustomError("points", "must be at most {most} steps", {"most": MAX_POINTS})
    if steps[-1] > MAX_COUNT or any(after <= before for before, after in pairwise(steps)):
        raise PydanticCustomError("ascending", "must be steps in ascending order, none of them twice")
    return text


Steps: TypeAlias = Annotated[
    str, Field(max_length=MAX_POINTS * 17, pattern=r"^[0-9]{1,16}( [0-9]{1,16})*$"), AfterValidator(_ascending)
]
Numbers: TypeAlias = Annotated[str, Field(max_length=MAX_POINTS * 13, pattern=f"^{_NUMBER}( {_NUMBER})*$")]


class Series(LenientModel):
    """One curve: a number for each of the steps."""

    name: Annotated[str, Field(min_length=1, max_length=64), Printable()]
    """Of the metric: loss, learning_rate, grad_norm, eval_loss, eval_accuracy, …"""
    values: Numbers
    """Numbers with at most five digits that count, parted by spaces, in the order of `steps`; nan where none was measured."""


class Curve(LenientModel):
    """Series with the same steps."""

    steps: Steps
    """Optimizer steps, ascending, parted by spaces; of many some, among them the first, the last, and those of each series' lowest and highest value."""
    series: Annotated[
        list[Series], Field(max_length=MAX_SERIES, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = []

    @property
    def at(self) -> tuple[int, ...]:
        """The steps, as numbers."""
        return tuple(int(each) for each in self.steps.split())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the series."""
        return tuple(each.name for each in self.series)

    def values(self, name: str) -> tuple[float, ...]:
        """Return a value for each step, nan where none was measured; empty where there is no such series."""
        return next(
            (tuple(float(each) for each in series.values.split()) for series in self.series if series.name == name), ()
        )

    def points(self, name: str) -> list[tuple[int, float]]:
        """Return steps and values of a series, without those that were not measured."""
        return [(step, value) for step, value in zip(self.at, self.values(name), strict=False) if not math.isnan(value)]

    @model_validator(mode="after")
    def _as_long_as_its_steps(self) -> Self:
        spaces = self.steps.count(" ")
        if any(each.values.count(" ") != spaces for each in self.series):
            raise PydanticCustomError("points", "must have {count} numbers, as many as steps", {"count": spaces + 1})
        if len(set(self.names)) < len(self.series):
            raise PydanticCustomError("names", "must have each series once")
        return self


class Curves(LenientModel):
    """The history of the run, thinned: at most 128 points a series, and 6 KB of all of them. A run that went back to a checkpoint has no point twice, and none of what it lost."""

    steps_per_epoch: Decimal | None = None
    """Optimizer steps of a pass over the training rows, such as "41.67"."""
    training: Curve | None = None
    """What was logged while it trained: loss, learning_rate and grad_norm."""
    evaluation: Curve | None = None
    """Metrics on the evaluation rows, named eval_loss, eval_accuracy, …"""

    def points(self, name: str) -> list[tuple[int, float]]:
        """Return steps and values of a series, whichever curve it is of; empty where there is none."""
        return next(
            (curve.points(name) for curve in (self.training, self.evaluation) if curve and name in curve.names), []
        )

    @model_validator(mode="after")
    def _small(self) -> Self:
        if len(self.model_dump_json(by_alias=True, exclude_none=True).encode()) > MAX_CURVES_BYTES:
            raise PydanticCustomError("size", "must be at most {most} bytes of JSON", {"most": MAX_CURVES_BYTES})
        return self
