"""What a curve takes, whoever sends it, and how it is read."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune_api.curves import Curve, Curves, format_points

LOSS = {"name": "loss", "values": "1.6094 nan 1.2034"}
CURVE = {
    "steps": "10 20 30",
    "seconds": "0 4 9.5",
    "series": [LOSS, {"name": "learning_rate", "values": "5e-5 4e-5 0"}],
}


def test_a_curve_is_read_as_numbers() -> None:
    curve = Curve.model_validate(CURVE)

    assert curve.at == (10, 20, 30)
    assert curve.names == ("loss", "learning_rate")
    assert curve.values("learning_rate") == (5e-5, 4e-5, 0.0)
    assert curve.points("loss") == [(10, 1.6094), (30, 1.2034)]
    assert curve.points("accuracy") == []


def test_a_series_is_found_in_whichever_curve_it_is() -> None:
    evaluation = {"steps": "30", "series": [{"name": "eval_loss", "values": "1.5"}]}

    curves = Curves.model_validate({"training": CURVE, "evaluation": evaluation})

    assert curves.points("eval_loss") == [(30, 1.5)]
    assert curves.points("loss") == [(10, 1.6094), (30, 1.2034)]
    assert curves.points("eval_f1") == []


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"steps": ""}, "pattern"),
        ({"steps": "10 20 20"}, "ascending"),
        ({"steps": "30 20 10"}, "ascending"),
        ({"steps": "10 20"}, "as many as steps"),
        ({"steps": "-1 20 30"}, "pattern"),
        ({"steps": "10 20 9999999999999999"}, "ascending"),
        ({"steps": " ".join(map(str, range(129)))}, "at most 128"),
        ({"steps": "1" * 3000}, "2176"),
        ({"series": [{**LOSS, "values": "1.6 1.4"}]}, "as many as steps"),
        ({"series": [{**LOSS, "values": "1.6 inf 1.4"}]}, "pattern"),
        ({"series": [{**LOSS, "values": "1.6 1e300 1.4"}]}, "pattern"),
        ({"series": [{**LOSS, "values": "1.6 1.2.3 1.4"}]}, "pattern"),
        ({"series": [{**LOSS, "values": "1 1 " + "1" * 1700}]}, "1664"),
        ({"series": [{**LOSS, "name": "x" * 65}]}, "64"),
        ({"series": [LOSS, LOSS]}, "once"),
        ({"series": [{**LOSS, "name": str(n)} for n in range(17)]}, "16"),
    ],
)
def test_what_is_no_curve_is_refused(changes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        Curve.model_validate_json(json.dumps({**CURVE, **changes}))


def test_curves_of_more_than_6_kilobytes_are_refused() -> None:
    steps, values = " ".join(map(str, range(128))), " ".join(["-1.2345"] * 128)
    series = [{"name": str(number), "values": values} for number in range(6)]

    with pytest.raises(ValidationError, match="at most 6144 bytes of JSON"):
        Curves.model_validate({"training": {"steps": steps, "series": series}})


def test_names_of_series_are_made_fit_to_be_shown() -> None:
    curve = Curve.model_validate({**CURVE, "series": [{**LOSS, "name": "lo\x1b[31mss\u202e"}]})

    assert curve.names == ("loss\N{REPLACEMENT CHARACTER}",)


def test_numbers_are_written_with_five_digits_and_no_more_letters_than_that_takes() -> None:
    values = [1.60943791, 4.86666666e-05, 0.0, -1.0, 1234567.0, 1e-299, math.nan, math.inf]

    assert format_points(values) == "1.6094 4.8667e-5 0 -1 1.2346e6 1e-299 nan nan"


@given(st.lists(st.floats(), min_size=1, max_size=128))
def test_any_number_is_written_as_a_curve_takes_it_and_read_as_almost_the_same(values: list[float]) -> None:
    steps = " ".join(map(str, range(len(values))))

    curve = Curve.model_validate({"steps": steps, "series": [{"name": "x", "values": format_points(values)}]})

    for before, after in zip(values, curve.values("x"), strict=True):
        if not math.isnan(after):
            assert math.isclose(before, after, rel_tol=1e-4, abs_tol=1e-299)
        else:
            assert not abs(before) < 9.9999e299
