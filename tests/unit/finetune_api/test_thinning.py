"""A history of any length becomes curves of a bounded size that show what matters of it."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.curves import MAX_CURVES_BYTES, Curve, Curves
from finetune_api.thinning import Point, join, make_curves, points_of, shrink, thin

NAMES = ("loss", "learning_rate", "grad_norm")
_VALUES = st.floats(-1e300, 1e300) | st.floats(0, 3)
_MEASURED = st.dictionaries(st.sampled_from([*NAMES, "train_tokens"]), _VALUES, max_size=4)
_STEPS = st.lists(st.integers(1, 10**6), unique=True, max_size=400).map(sorted)


@st.composite
def histories(draw: st.DrawFn, measured: st.SearchStrategy[dict[str, float]] = _MEASURED) -> list[Point]:
    few = draw(st.lists(measured, min_size=1, max_size=20))
    return [Point(step, few[hash(step) % len(few)]) for step in draw(_STEPS)]


def run_of(steps: int, every: int = 1) -> list[Point]:
    """A loss that falls with noise, a learning rate that warms up, and the norm of its gradients."""
    dice = random.Random(7)
    return [
        Point(
            step,
            {
                "loss": 2.3 * math.exp(-3 * step / steps) + dice.gauss(0.3, 0.05),
                "learning_rate": 5e-5 * min(step / (0.1 * steps), 1 - step / steps),
                "grad_norm": abs(dice.gauss(2, 0.5)),
            },
        )
        for step in range(every, steps + 1, every)
    ]


@given(histories(), st.integers(2, 130))
def test_what_is_kept_was_measured_in_its_order_and_is_not_too_much(points: list[Point], most: int) -> None:
    kept = thin(points, NAMES, most)

    assert len(kept) == min(most, len(points))
    assert [point for point in points if point in kept] == kept


@given(histories(), st.integers(8, 130))
def test_the_first_the_last_the_highest_and_the_lowest_point_are_kept(points: list[Point], most: int) -> None:
    kept = thin(points, NAMES, most)

    assert kept[:1] == points[:1]
    assert kept[-1:] == points[-1:]
    for name in NAMES:
        values = [point.values[name] for point in points if name in point.values]
        left = [point.values[name] for point in kept if name in point.values]
        assert (max(left, default=None), min(left, default=None)) == (
            max(values, default=None),
            min(values, default=None),
        )


@pytest.mark.parametrize("steps", [100, 128, 129, 1000, 5000])
def test_points_lie_everywhere_and_a_spike_in_the_middle_stays(steps: int) -> None:
    points = run_of(steps)
    spike = Point(steps // 2 + 3, {**points[steps // 2 + 2].values, "loss": 2.0})
    points[steps // 2 + 2] = spike

    kept = thin(points, NAMES, 128)

    assert spike in kept, "it is neither the highest nor the lowest loss of all"
    assert len(kept) == min(128, steps)
    assert max(b.step - a.step for a, b in pairwise(kept)) <= max(1, 4 * steps / 128)


@pytest.mark.thorough
def test_what_is_thinned_again_as_it_grows_is_as_regular_as_what_is_thinned_at_its_end() -> None:
    points = run_of(20_000)
    grown: list[Point] = []

    for point in points:
        grown.append(point)
        if len(grown) > 1024:
            grown = thin(grown, NAMES, 512)

    kept = thin(grown, NAMES, 128)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert max(b.step - a.step for a, b in pairwise(kept)) <= 4 * 20_000 / 128
    for name in NAMES:
        assert max(point.values[name] for point in kept) == max(point.values[name] for point in points)


@pytest.mark.thorough
@given(histories(), histories(st.dictionaries(st.text(max_size=70), _VALUES, max_size=30)), st.integers(100, 8000))
def test_any_history_gives_curves_of_a_bounded_size(training: list[Point], evaluation: list[Point], most: int) -> None:
    curves = make_curves(training, evaluation, 41.6667, most)

    text = curves.model_dump_json(by_alias=True, exclude_none=True)
    assert len(text.encode()) <= most
    assert Curves.model_validate_json(text) == curves


@pytest.mark.thorough
def test_a_long_run_with_ten_metrics_keeps_most_of_its_points() -> None:
    training = run_of(300_000, every=10)
    evaluation = [
        Point(step, {f"eval_metric_{n}": n + step / 7e5 for n in range(10)}) for step in range(0, 300_000, 5000)
    ]

    curves = make_curves(training, evaluation, 10_000)

    assert len(curves.model_dump_json(by_alias=True, exclude_none=True)) <= MAX_CURVES_BYTES
    assert curves.training is not None
    assert curves.evaluation is not None
    assert curves.training.names == NAMES
    assert (len(curves.training.at), len(curves.evaluation.at)) >= (64, 30)


def test_a_short_run_is_kept_whole() -> None:
    training = [Point(10, {"loss": 1.6094379, "grad_norm": 3.1}), Point(20, {"loss": 1.2, "learning_rate": 4.9e-5})]

    curves = make_curves(training, [Point(20, {"eval_loss": 1.1, "eval_f1": 0.5})], 12.5)

    assert curves.to_wire() == {
        "stepsPerEpoch": "12.5",
        "training": {
            "steps": "10 20",
            "series": [
                {"name": "loss", "values": "1.6094 1.2"},
                {"name": "learning_rate", "values": "nan 4.9e-5"},
                {"name": "grad_norm", "values": "3.1 nan"},
            ],
        },
        "evaluation": {
            "steps": "20",
            "series": [{"name": "eval_loss", "values": "1.1"}, {"name": "eval_f1", "values": "0.5"}],
        },
    }


def test_nothing_measured_gives_nothing() -> None:
    assert make_curves([], [], None) == Curves()
    assert make_curves([Point(1, {"train_tokens": 5.0})], [], 3.0) == Curves()


def test_curves_that_fit_are_left_as_they_are_and_others_lose_points() -> None:
    curves = make_curves(run_of(2000), [], 100)

    small = shrink(curves, 1000)

    assert shrink(curves) is curves
    assert small.training is not None
    assert len(small.model_dump_json(by_alias=True, exclude_none=True)) <= 1000
    assert set(points_of(small.training)[0].values) == set(NAMES)
    assert [point for point in points_of(curves.training) if point in points_of(small.training)] == points_of(
        small.training
    )


def _loss(*points: tuple[int, float]) -> Curves:
    return make_curves([Point(step, {"loss": value}) for step, value in points], [])


def _steps(curve: Curve | None) -> tuple[int, ...]:
    return curve.at if curve else ()


def test_points_of_before_are_joined_with_the_newest_up_to_where_a_run_went_back_to() -> None:
    before = _loss((10, 5.0), (20, 4.0), (30, 3.0), (40, 2.5))
    newest = _loss((10, 5.0), (50, 1.0))

    assert join(before, newest).points("loss") == [(10, 5.0), (20, 4.0), (30, 3.0), (40, 2.5), (50, 1.0)]
    assert join(before, newest, until=25).points("loss") == [(10, 5.0), (20, 4.0), (50, 1.0)]
    assert _steps(join(before, Curves(), until=0).training) == ()
