"""Settings and device become one plan, with all of TrainingArguments."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.settings.arguments import check_arguments
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.settings.device import SOME_GPU, Device, find_device
from finetune_trainer.settings.run_plan import RunPlan, make_plan

CPU = find_device(use_cpu=True, processes=1)


def config(**training: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "org/name"},
            "dataset": {"source": "org/data", "train": {"split": "train"}, "evaluation": {"split": "test"}},
            "training": training,
            "evaluation": {"strategy": "steps", "steps": 5},
            "checkpoints": {"strategy": "steps", "steps": 10},
            "output": {"uri": "file:///out"},
        }
    )


def planned(run: RunConfig, device: Device, rows: int) -> RunPlan:
    given = check_arguments(run.training.arguments)
    return make_plan(run, given, device, rows, BatchPlan.from_settings(run.training.batch_size, given))


def test_settings_arguments_and_defaults_come_together() -> None:
    run = config(
        epochs=1.5, batchSize=4, learningRate=1e-3, seed=7,
        arguments={"warmup_steps": 1e2, "weight_decay": "0.1", "logging_steps": 7, "lr_scheduler_type": "cosine"},
    )  # fmt: skip

    arguments = planned(run, CPU, rows=100).arguments

    names = (
        "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size", "learning_rate",
        "seed", "warmup_steps", "weight_decay", "logging_steps", "eval_strategy", "eval_steps", "save_strategy",
        "save_steps", "use_cpu", "report_to", "logging_nan_inf_filter", "train_sampling_strategy",
    )  # fmt: skip
    assert [getattr(arguments, name) for name in names] == [
        1.5, 4, 4, 1e-3, 7, 100, 0.1, 7, "steps", 5, "steps", 10, True, [], False, "group_by_length",
    ]  # fmt: skip
    assert arguments.lr_scheduler_type == "cosine"


@pytest.mark.parametrize(("rows", "steps"), [(8, 1), (1600, 4), (100_000, 10)])
def test_short_runs_log_often_and_long_ones_each_ten_steps(rows: int, steps: int) -> None:
    run = config(epochs=1, batchSize=8)

    assert planned(run, CPU, rows).arguments.logging_steps == steps


def test_of_several_arguments_the_refused_one_is_named() -> None:
    arguments = {"weight_decay": 0.1, "dataloader_prefetch_factor": 2, "warmup_steps": 3}

    with pytest.raises(TrainerError) as caught:
        planned(config(arguments=arguments), CPU, rows=10)

    assert caught.value.message.startswith("training.arguments.dataloader_prefetch_factor: ")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("gradient_accumulation_steps", 0, "should be greater than or equal to 1, not 0"),
        ("per_device_eval_batch_size", -1, "should be greater than or equal to 1, not -1"),
        ("max_steps", 0, "should be greater than or equal to 1, not 0"),
        ("logging_steps", -0.1, "should be greater than 0, not -0.1"),
        ("dataloader_num_workers", -1, "should be greater than or equal to 0, not -1"),
        ("adam_beta1", 1, "should be less than 1, not 1"),
        (
            "train_sampling_strategy",
            "grouped",
            "should be 'random', 'sequential', 'group_by_length' or 'batch_rebalance', not 'grouped'",
        ),
        ("dataloader_persistent_workers", True, "there are no workers here that could stay"),
        ("dataloader_drop_last", True, "drops all of the 10 rows, which do not fill a batch of 16"),
    ],
)
def test_what_only_a_step_or_an_evaluation_would_show_is_refused_at_once(
    name: str, value: object, problem: str
) -> None:
    with pytest.raises(TrainerError) as caught:
        planned(config(batchSize=16, arguments={name: value}), CPU, rows=10)

    assert caught.value.message == f"training.arguments.{name}: {problem}"


def test_the_settings_say_what_is_tried_first() -> None:
    plans = [
        planned(config(batchSize=6, arguments=arguments), CPU, rows=100)
        for arguments in (
            {"gradient_accumulation_steps": "2"},
            {"per_device_eval_batch_size": 32, "activation_checkpointing": True},
            {"gradient_checkpointing": True},
        )
    ]

    assert [plan.batch for plan in plans] == [
        BatchPlan(6, 2, 6, False), BatchPlan(6, 1, 32, True), BatchPlan(6, 1, 6, True)
    ]  # fmt: skip


def test_less_at_a_time_becomes_arguments_of_every_engine_and_the_rest_stays() -> None:
    asked = planned(config(batchSize=6, arguments={"weight_decay": 0.1, "gradient_checkpointing": False}), CPU, 100)

    less = asked.with_batch(BatchPlan(1, 6, 4, True))

    assert less == replace(asked, batch=BatchPlan(1, 6, 4, True), arguments=less.arguments)
    before, after = asked.arguments.to_dict(), less.arguments.to_dict()
    assert {name: value for name, value in after.items() if value != before[name]} == {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 6,
        "per_device_eval_batch_size": 4,
        "activation_checkpointing": True,
        "gradient_checkpointing": True,
    }


def test_of_a_gpu_on_another_machine_the_precision_is_planned_and_not_checked_here() -> None:
    plan = planned(config(arguments={"tf32": True}), SOME_GPU, rows=100)

    assert plan.bf16
    assert (plan.arguments.bf16, plan.arguments.tf32, plan.arguments.use_cpu) == (False, None, True)
