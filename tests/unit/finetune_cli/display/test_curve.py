"""Curves on a terminal."""

import pytest

from finetune_cli.display.curve import draw


@pytest.mark.parametrize(("last", "ticks"), [(81, "1 21 41 61"), (60_000, "1 15001 30000 45000")])
def test_steps_are_whole_numbers_below_the_curve(last: int, ticks: str) -> None:
    drawn = draw({"loss": [(1, 2.0), (last, 1.0)]}, width=63)

    assert drawn.plain.splitlines()[-1].replace("|", "").split() == [*ticks.split(), str(last)]
