"""What users get wrong is reported with exit code, reason and a message with a name in it, and no traceback."""

import os
import signal
from pathlib import Path

import pytest
from tests.trainer.mistakes import MISTAKES
from tests.trainer.spoiled_settings import NO_FINITE_LOSS
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ENV_OWN_VOLUME, ExitCode
from finetune_api.status import Failure
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.run import failure as failure_module


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_reported_with_its_reason_and_no_traceback(
    settings: Settings, train: Train, tmp_path: Path, mistake: str
) -> None:
    make, code, reason, message = MISTAKES[mistake]
    make(settings, tmp_path)

    ended = train(settings)

    failure = ended.final.failure
    assert failure is not None
    assert (ended.code, failure.exit_code, failure.reason) == (code, code, reason)
    assert message in failure.message
    assert f"error: {failure.message}" in ended.said
    assert "Traceback" not in ended.said
    assert not (tmp_path / "out" / "model").exists()
    assert not list(tmp_path.glob("out/checkpoints/*"))


def test_a_gpu_that_is_not_there_is_reported(settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    ended = train(settings | {"gpus": 1})

    assert ended.final.failure is not None
    assert (ended.code, ended.final.failure.reason) == (ExitCode.DEVICE, "NoUsableGpu")


@pytest.mark.parametrize(("training", "saves"), [(NO_FINITE_LOSS, False), ({"learningRate": 0.005}, True)])
def test_the_final_report_says_whether_anything_was_saved_on_the_job_s_own_volume(
    settings: Settings, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, training: Settings, saves: bool
) -> None:
    monkeypatch.setenv(ENV_OWN_VOLUME, str(tmp_path / "out"))

    ended = train(settings | {"training": {"epochs": 1, "batchSize": 8, **training}})

    assert (tmp_path / "out" / "run.json").exists()
    assert (bool(ended.final.checkpoints), ended.final.output_empty) == (saves, not saves)


def test_what_nobody_foresaw_is_reported_with_the_end_of_its_traceback(
    settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr("finetune_trainer.run.find.load_rows", broken)

    ended = train(settings)

    failure = ended.final.failure
    assert failure is not None
    assert (ended.code, failure.reason, failure.message) == (
        ExitCode.INTERNAL, "InternalError", "ZeroDivisionError: nobody foresaw this",
    )  # fmt: skip
    assert failure.log_tail
    assert failure.log_tail.rstrip().endswith("ZeroDivisionError: nobody foresaw this")


def test_a_signal_while_a_mistake_is_reported_does_not_hide_it(
    settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(error: TrainerError) -> Failure:
        os.kill(os.getpid(), signal.SIGTERM)
        return original(error)

    original = failure_module.known_failure
    monkeypatch.setattr(failure_module, "known_failure", tell)
    settings["training"]["learning_rate"] = 1

    ended = train(settings)

    assert ended.final.failure is not None
    assert (ended.code, ended.final.failure.reason) == (ExitCode.BAD_CONFIGURATION, "BadConfiguration")


def test_memory_that_does_not_suffice_is_reported_with_the_sizes(
    settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def too_large(*arguments: object, **options: object) -> torch.Tensor:
        return torch.empty(2**60)

    monkeypatch.setattr("finetune_trainer.engines.transformers_trainer.transformers.Trainer.training_step", too_large)

    ended = train(settings)

    failure = ended.final.failure
    assert failure is not None
    assert failure.hint is not None
    assert (ended.code, failure.reason) == (ExitCode.OUT_OF_MEMORY, "OutOfMemory")
    assert "a smaller training.batchSize (8 now)" in failure.hint
