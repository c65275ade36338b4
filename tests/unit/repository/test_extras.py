"""What of the suite an environment without the extras runs."""

import pytest
from tests.extras import left_out


@pytest.mark.parametrize(
    ("markers", "expression", "expected"),
    [
        ({"slow", "qlora"}, "slow and not bench", {"qlora"}),
        ({"slow", "qlora"}, "", {"qlora"}),
        ({"slow", "qlora"}, "qlora", set()),
        ({"keras", "wandb"}, "keras", {"wandb"}),
        ({"slow"}, "slow and not bench", set()),
        (set(), "", set()),
    ],
)
def test_a_test_that_needs_an_extra_is_left_out_unless_the_expression_names_it(
    markers: set[str], expression: str, expected: set[str]
) -> None:
    assert left_out(frozenset(markers), expression) == expected
