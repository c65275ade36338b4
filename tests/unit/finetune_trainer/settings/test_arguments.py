"""training.arguments against transformers' own list of fields."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.settings.arguments import OWNED, build_arguments, check_arguments, name_here


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


def test_every_field_that_is_ours_exists_in_transformers() -> None:
    assert set(OWNED) <= {argument.name for argument in dataclasses.fields(TrainingArguments)}


def test_settings_arguments_and_defaults_come_together(tmp_path: Path) -> None:
    run = config(
        epochs=1.5, batchSize=4, learningRate=1e-3, seed=7,
        arguments={"warmup_steps": 1e2, "weight_decay": "0.1", "logging_steps": 7, "lr_scheduler_type": "cosine"},
    )  # fmt: skip

    arguments = build_arguments(run, tmp_path, rows=100, use_cpu=True)

    names = (
        "output_dir", "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size", "learning_rate",
        "seed", "warmup_steps", "weight_decay", "logging_steps", "eval_strategy", "eval_steps", "save_strategy",
        "save_steps", "use_cpu", "report_to", "logging_nan_inf_filter", "train_sampling_strategy",
    )  # fmt: skip
    assert [getattr(arguments, name) for name in names] == [
        str(tmp_path), 1.5, 4, 4, 1e-3, 7, 100, 0.1, 7, "steps", 5, "steps", 10, True, [], False, "group_by_length",
    ]  # fmt: skip
    assert arguments.lr_scheduler_type == "cosine"


@pytest.mark.parametrize(("rows", "steps"), [(8, 1), (1600, 4), (100_000, 10)])
def test_short_runs_log_often_and_long_ones_each_ten_steps(tmp_path: Path, rows: int, steps: int) -> None:
    run = config(epochs=1, batchSize=8)

    assert build_arguments(run, tmp_path, rows, use_cpu=True).logging_steps == steps


@pytest.mark.parametrize("name", sorted(OWNED))
def test_a_field_that_is_ours_is_refused_with_what_sets_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrainerError) as caught:
        build_arguments(config(arguments={name: None}), tmp_path, 10, use_cpu=True)

    assert (caught.value.reason, caught.value.hint) == ("ArgumentOwned", f"it follows from {OWNED[name]}")


def test_of_several_arguments_the_refused_one_is_named(tmp_path: Path) -> None:
    arguments = {"weight_decay": 0.1, "dataloader_prefetch_factor": 2, "warmup_steps": 3}

    with pytest.raises(TrainerError) as caught:
        build_arguments(config(arguments=arguments), tmp_path, 10, use_cpu=True)

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
    tmp_path: Path, name: str, value: object, problem: str
) -> None:
    with pytest.raises(TrainerError) as caught:
        build_arguments(config(batchSize=16, arguments={name: value}), tmp_path, 10, use_cpu=True)

    assert caught.value.message == f"training.arguments.{name}: {problem}"


def test_a_field_has_one_name_however_the_user_calls_it() -> None:
    assert check_arguments({"gradient_checkpointing": "yes"}) == {"activation_checkpointing": True}


def test_a_field_is_set_by_the_name_that_an_older_transformers_has_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    former = dataclasses.make_dataclass("Former", [("gradient_checkpointing", bool, dataclasses.field(default=False))])
    monkeypatch.setattr("finetune_trainer.settings.arguments.TrainingArguments", former)

    checked = check_arguments({"activation_checkpointing": "yes"})

    assert checked == {"activation_checkpointing": True}
    assert name_here("activation_checkpointing") == "gradient_checkpointing"
    assert name_here("warmup_steps") == "warmup_steps"
