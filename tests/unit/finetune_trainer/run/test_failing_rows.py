"""Of the rows of a step those are found that it fails on."""

from collections.abc import Sequence

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.report import ExitCode
from finetune_trainer.data.examples import Examples
from finetune_trainer.engines.batching import CurrentRows, evaluation_rows, training_rows
from finetune_trainer.run.failing_rows import find_rows

EXAMPLES = Examples(datasets.Dataset.from_dict({"input_ids": [[1]] * 40}), list(range(1, 41)), "row {}".format)


def current_rows(*rows: int, batch_size: int = 4) -> CurrentRows:
    return CurrentRows(EXAMPLES, list(rows), batch_size, training=True)


@given(st.permutations(range(8)), st.integers(0, 7))
def test_the_one_row_that_fails_alone_is_named(order: list[int], bad: int) -> None:
    def fails(rows: Sequence[int]) -> Exception | None:
        return IndexError("index out of range in self") if bad in rows else None

    failure = find_rows(current_rows(*order), fails)

    assert failure is not None
    assert failure.exit_code == ExitCode.DATA
    assert failure.message == f"row {bad} cannot be trained on: IndexError: index out of range in self"


@given(st.permutations(range(8)), st.sets(st.integers(0, 7), min_size=1, max_size=7))
def test_two_rows_that_fail_together_are_named(order: list[int], odd: set[int]) -> None:
    def fails(rows: Sequence[int]) -> Exception | None:
        return ValueError("unequal") if 0 < len(odd & set(rows)) < len(rows) else None

    failure = find_rows(current_rows(*order, batch_size=8), fails)

    assert failure is not None
    named = {number for number in range(8) if f"row {number}" in failure.message}
    assert (failure.exit_code, len(named), len(named & odd)) == (ExitCode.DATA, 2, 1)


def test_where_every_row_fails_it_is_the_model() -> None:
    failure = find_rows(current_rows(3, 1, 2), lambda rows: TypeError("no such input"))

    assert failure is not None
    assert failure.exit_code == ExitCode.MODEL


def test_where_nothing_fails_again_nothing_is_said() -> None:
    assert find_rows(current_rows(3, 1, 2), lambda rows: None) is None


@pytest.mark.parametrize(("step", "rows"), [(0, list(range(16))), (2, list(range(16, 32))), (4, list(range(32, 40)))])
def test_the_rows_of_a_step_are_those_of_all_its_batches_and_the_next_ones(step: int, rows: list[int]) -> None:
    assert training_rows(EXAMPLES, range(40), step, batch_size=2, batches=2, processes=2).rows == rows


def test_an_evaluation_has_the_longest_rows_first() -> None:
    assert evaluation_rows(EXAMPLES, 1, batch_size=2, processes=2).rows == [35, 34, 33, 32, 31, 30, 29, 28]
