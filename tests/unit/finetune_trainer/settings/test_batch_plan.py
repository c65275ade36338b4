"""What to do when a device's memory is not enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.run import RunConfig
from finetune_trainer.settings.batch_plan import Fit, describe, fit_of, fitted, for_processes, smaller


def config(batch_size: int = 8, **arguments: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "file:///model"},
            "dataset": {"source": "file:///data", "train": {"split": "train"}},
            "training": {"batchSize": batch_size, "arguments": arguments},
            "output": {"uri": "file:///out"},
        }
    )


def test_the_settings_say_what_is_tried_first() -> None:
    assert fit_of(config(6, gradient_accumulation_steps="2")) == Fit(6, 2, 6, False)
    assert fit_of(config(6, per_device_eval_batch_size=32, activation_checkpointing=True)) == Fit(6, 1, 32, True)
    assert fit_of(config(6, gradient_checkpointing=True)) == Fit(6, 1, 6, True)


def test_settings_that_fit_stay_as_they_are() -> None:
    asked = config(6, weight_decay=0.1)

    assert fitted(asked, fit_of(asked)) == asked


def test_less_at_a_time_becomes_settings_of_every_engine() -> None:
    asked = config(6, weight_decay=0.1)

    less = fitted(asked, Fit(1, 6, 6, True))

    assert less == config(
        1,
        weight_decay=0.1,
        gradient_accumulation_steps=6,
        per_device_eval_batch_size=6,
        activation_checkpointing=True,
    )
    assert fit_of(less) == Fit(1, 6, 6, True)
    assert fit_of(fitted(config(1, gradient_checkpointing=False), Fit(1, 1, 1, True))).activation_checkpointing


@pytest.mark.parametrize(
    ("before", "evaluating", "can_checkpoint", "after"),
    [
        (Fit(8, 1, 8, False), False, True, Fit(4, 2, 8, False)),
        (Fit(9, 2, 8, False), False, True, Fit(3, 6, 8, False)),
        (Fit(5, 1, 8, False), False, True, Fit(1, 5, 8, False)),
        (Fit(1, 8, 8, False), False, True, Fit(1, 8, 8, True)),
        (Fit(1, 8, 8, False), False, False, None),
        (Fit(1, 8, 8, True), False, True, None),
        (Fit(8, 1, 9, False), True, True, Fit(8, 1, 4, False)),
        (Fit(8, 1, 1, False), True, True, None),
    ],
)
def test_first_smaller_batches_then_activation_checkpointing_then_nothing(
    before: Fit, evaluating: bool, can_checkpoint: bool, after: Fit | None
) -> None:
    assert smaller(before, evaluating, can_checkpoint) == after


@given(st.integers(1, 65_536), st.integers(1, 64))
def test_a_step_keeps_its_rows_until_nothing_is_left_to_try(batch_size: int, accumulation: int) -> None:
    fit: Fit | None = Fit(batch_size, accumulation, 8, False)
    tries = 0

    while fit:
        assert fit.batch_size * fit.accumulation == batch_size * accumulation
        last, fit, tries = fit, smaller(fit, evaluating=False), tries + 1

    assert (last.batch_size, last.activation_checkpointing) == (1, True)
    assert tries <= 18


def test_people_are_told_what_was_changed_from_what_to_what() -> None:
    told = [
        describe(Fit(8, 1, 8, False), Fit(4, 2, 8, False)),
        describe(Fit(1, 8, 8, False), Fit(1, 8, 4, False)),
        describe(Fit(1, 8, 8, False), Fit(1, 8, 8, True)),
    ]

    assert told == [
        "batch size 8 → 4 on each device, gradient accumulation 1 → 2: a step has the same rows as before",
        "evaluation batch size 8 → 4 on each device",
        "activation checkpointing off → on: activations are computed again instead of kept",
    ]


def test_a_fit_survives_as_numbers() -> None:
    fit = Fit(4, 2, 8, True)

    assert Fit.from_numbers(fit.to_numbers()) == fit


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 9), st.integers(1, 9))
def test_other_processes_have_the_same_rows_in_a_step_with_no_more_at_a_time(
    batch_size: int, accumulation: int, before: int, now: int
) -> None:
    rows = batch_size * accumulation * before

    same = for_processes(Fit(batch_size, accumulation, 8, False), before, now)

    if same is None:
        assert rows % now
    else:
        assert same.batch_size * same.accumulation * now == rows
        assert same.batch_size <= batch_size


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (2, 1, Fit(4, 2, 8, False, 1)),
        (1, 2, Fit(2, 1, 8, False, 2)),
        (2, 4, Fit(2, 1, 8, False, 4)),
        (2, 2, Fit(4, 1, 8, False)),
        (1, 3, None),
    ],
)
def test_a_step_of_4_rows_a_process_is_dealt_out_anew(before: int, now: int, after: Fit | None) -> None:
    assert for_processes(Fit(4, 1, 8, False), before, now) == after
    if after:
        assert Fit.from_numbers(after.to_numbers()) == after


def test_other_processes_are_told_with_what_keeps_the_rows_of_a_step() -> None:
    assert describe(Fit(4, 1, 8, False), Fit(4, 2, 8, False, 1)) == (
        "1 process, batch size 4 → 4 on each device, gradient accumulation 1 → 2: a step has the same rows as before"
    )
