"""What to do when a device's memory is not enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.settings.batch_plan import BatchPlan, describe, for_processes, smaller


@pytest.mark.parametrize(
    ("before", "evaluating", "can_checkpoint", "after"),
    [
        (BatchPlan(8, 1, 8, False), False, True, BatchPlan(4, 2, 8, False)),
        (BatchPlan(9, 2, 8, False), False, True, BatchPlan(3, 6, 8, False)),
        (BatchPlan(5, 1, 8, False), False, True, BatchPlan(1, 5, 8, False)),
        (BatchPlan(1, 8, 8, False), False, True, BatchPlan(1, 8, 8, True)),
        (BatchPlan(1, 8, 8, False), False, False, None),
        (BatchPlan(1, 8, 8, True), False, True, None),
        (BatchPlan(8, 1, 9, False), True, True, BatchPlan(8, 1, 4, False)),
        (BatchPlan(8, 1, 1, False), True, True, None),
    ],
)
def test_first_smaller_batches_then_activation_checkpointing_then_nothing(
    before: BatchPlan, evaluating: bool, can_checkpoint: bool, after: BatchPlan | None
) -> None:
    assert smaller(before, evaluating, can_checkpoint) == after


@given(st.integers(1, 65_536), st.integers(1, 64))
def test_a_step_keeps_its_rows_until_nothing_is_left_to_try(batch_size: int, accumulation: int) -> None:
    plan: BatchPlan | None = BatchPlan(batch_size, accumulation, 8, False)
    tries = 0

    while plan:
        assert plan.batch_size * plan.accumulation == batch_size * accumulation
        last, plan, tries = plan, smaller(plan, evaluating=False), tries + 1

    assert (last.batch_size, last.activation_checkpointing) == (1, True)
    assert tries <= 18


def test_people_are_told_what_was_changed_from_what_to_what() -> None:
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


def test_a_fit_survives_as_numbers() -> None:
    plan = BatchPlan(4, 2, 8, True)

    assert BatchPlan.from_numbers(plan.to_numbers()) == plan


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 9), st.integers(1, 9))
def test_other_processes_have_the_same_rows_in_a_step_with_no_more_at_a_time(
    batch_size: int, accumulation: int, before: int, now: int
) -> None:
    rows = batch_size * accumulation * before

    same = for_processes(BatchPlan(batch_size, accumulation, 8, False), before, now)

    if same is None:
        assert rows % now
    else:
        assert same.batch_size * same.accumulation * now == rows
        assert same.batch_size <= batch_size


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (2, 1, BatchPlan(4, 2, 8, False, 1)),
        (1, 2, BatchPlan(2, 1, 8, False, 2)),
        (2, 4, BatchPlan(2, 1, 8, False, 4)),
        (2, 2, BatchPlan(4, 1, 8, False)),
        (1, 3, None),
    ],
)
def test_a_step_of_4_rows_a_process_is_dealt_out_anew(before: int, now: int, after: BatchPlan | None) -> None:
    assert for_processes(BatchPlan(4, 1, 8, False), before, now) == after
    if after:
        assert BatchPlan.from_numbers(after.to_numbers()) == after


def test_other_processes_are_told_with_what_keeps_the_rows_of_a_step() -> None:
    assert describe(BatchPlan(4, 1, 8, False), BatchPlan(4, 2, 8, False, 1)) == (
        "1 process, batch size 4 → 4 on each device, gradient accumulation 1 → 2: a step has the same rows as before"
    )
