"""What the engine keras refuses before anything is loaded, with Keras installed or not."""

import os
from typing import Any

import pytest

from finetune_api.report import ExitCode
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.engines.check import check_engine
from finetune_trainer.engines.keras import arguments as keras_arguments
from finetune_trainer.engines.keras.arguments import check_keras
from finetune_trainer.run.check import check_settings


def config(arguments: dict[str, Any] | None = None, **fields: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "org/model"},
            "dataset": {"source": "org/rows", "train": {"split": "train"}},
            "training": {"engine": "keras", "arguments": arguments or {}},
            "output": {"uri": "file:///out"},
            **fields,
        }
    )


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_arguments, "find_spec", lambda name: object())
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_where_keras_is_missing_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_arguments, "find_spec", lambda name: object() if name == "keras" else None)

    with pytest.raises(TrainerError) as refused:
        check_keras(use_cpu=True)

    error = refused.value
    assert (error.exit_code, error.reason, error.message, error.hint) == (
        ExitCode.BAD_CONFIGURATION,
        "KerasNotInstalled",
        "training.engine: keras and keras-hub are not installed",
        "install finetune-operator[trainer,keras], or build the trainer's image with --build-arg EXTRAS=trainer,keras",
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"weight_decay": 0.1, "optim": "adafactor"}, "optim: engine 'keras' does not know it"),
        (
            {"train_sampling_strategy": "sequential"},
            "train_sampling_strategy: engine 'keras' takes random, group_by_length, not 'sequential'",
        ),
    ],
)
def test_an_argument_that_keras_does_not_honour_is_refused_by_name(
    installed: None, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(TrainerError) as refused:
        check_settings(config(arguments, gpus=0))

    assert (refused.value.reason, refused.value.message) == ("ArgumentNotHonoured", f"training.arguments.{problem}")


@pytest.mark.parametrize("fields", [{"nodes": 2}, {"gpus": 2}, {"gpus": 0, "processesPerNode": 2}])
def test_more_than_one_device_is_refused(installed: None, fields: dict[str, int]) -> None:
    with pytest.raises(TrainerError) as refused:
        check_engine(config(**fields), {}, use_cpu=True)

    assert refused.value.message == "training.engine: keras trains on one device, not on 2"


def test_keras_is_told_its_backend_and_the_device(installed: None) -> None:
    check_engine(config(), {"weight_decay": 0.1}, use_cpu=True)

    assert (os.environ["KERAS_BACKEND"], os.environ["KERAS_TORCH_DEVICE"]) == ("torch", "cpu")
