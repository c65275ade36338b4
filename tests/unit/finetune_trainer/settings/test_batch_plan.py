"""How much of a run is in memory at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.settings.batch_plan import BatchPlan, describe, for_processes


def test_what_was_changed_is_reported_from_what_to_what() -> None:
    told = [
        describe(BatchPlan(8, 1, 8, False), BatchPlan(4, 2, 8, False)),
        describe(BatchPlan(1, 8, 8, False), BatchPlan(1, 8, 4, False)),
        describe(BatchPlan(1, 8, 8, False), BatchPlan(1, 8, 8, True)),
    ]

    assert told == [
        "batch size 8 → 4 on each device, gradient accumulation 1 → 2: a step has the same rows as before",
        "evaluation batch size 8 → 4 on each device",
        "activation checkpointing off → on: activations are computed again instead of kept",
    ]


def test_a_batch_plan_survives_as_numbers() -> None:
    plan = BatchPlan(4, 2, 8, True)

    assert BatchPlan.from_numbers(plan.to_numbers()) == plan


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 9), st.integers(1, 9))
def test_other_processes_have_the_same_rows_in_a_step_with_no_more_at_a_time(
    batch_size: int, accumulation: int, before: int, now: int
) -> None:
    rows, plan = batch_size * accumulation * before, BatchPlan(batch_size, accumulation, 8, False)

    if rows % now and before != now:
        with pytest.raises(TrainerError, match="cannot share evenly"):
            for_processes(plan, before, now)
        return
    same = for_processes(plan, before, now)

    assert same.batch_size * same.accumulation * now == rows
    assert same.batch_size <= batch_size


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (2, 1, BatchPlan(4, 2, 8, False, 1)),
        (1, 2, BatchPlan(2, 1, 8, False, 2)),
        (2, 4, BatchPlan(2, 1, 8, False, 4)),
        (2, 2, BatchPlan(4, 1, 8, False)),
    ],
)
def test_a_step_of_4_rows_a_process_is_dealt_out_anew(before: int, now: int, after: BatchPlan) -> None:
    assert for_processes(BatchPlan(4, 1, 8, False), before, now) == after
    assert BatchPlan.from_numbers(after.to_numbers()) == after


def test_other_processes_are_reported_with_what_keeps_the_rows_of_a_step() -> None:
    assert describe(BatchPlan(4, 1, 8, False), BatchPlan(4, 2, 8, False, 1)) == (
        "1 process, batch size 4 → 4 on each device, gradient accumulation 1 → 2: a step has the same rows as before"
    )
