"""A GPU without enough memory: the run goes on by itself, with less in memory at a time and the same rows in a step."""

import importlib
import json
import os
import shutil
import signal
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.s3_server import BUCKET, S3
from tests.trainer.crowd import run_together
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ExitCode
from finetune_api.run import RunConfig
from finetune_api.status import Adjustment
from finetune_trainer.run import load as loading
from finetune_trainer.run.hint import clear_hint, read_hint, write_hint
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.storage.find_output import open_output

CUDA_SAYS = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB.\nSee documentation"
)
Limit = Callable[..., None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Sets how many rows at a time the memory is enough for, from a number of batches on."""
    original = transformers.BertForSequenceClassification.forward

    def set_limit(training: int = 1000, evaluating: int = 1000, after: int = 0, checkpointing: bool = False) -> None:
        batches = []

        def forward(self: Any, input_ids: torch.Tensor, **inputs: Any) -> Any:
            batches.append(len(input_ids))
            enough = checkpointing and self.is_activation_checkpointing
            if len(batches) > after and not enough and len(input_ids) > (training if self.training else evaluating):
                raise torch.OutOfMemoryError(CUDA_SAYS)
            return original(self, input_ids=input_ids, **inputs)

        monkeypatch.setattr(transformers.BertForSequenceClassification, "forward", forward)

    return set_limit


def history(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


def without_dropout(model: Path, copy: Path) -> Path:
    """The model without what would draw other random numbers for batches of another size."""
    shutil.copytree(model, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"attention_probs_dropout_prob": 0.0}))
    return copy


def smaller_batch(step: int, before: int, after: int, accumulation: int, more: int) -> Adjustment:
    message = (
        f"batch size {before} → {after} on each device, gradient accumulation {accumulation} → {more}: "
        "a step has the same rows as before"
    )
    return Adjustment(step=step, reason="CudaOutOfMemory", message=message)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_batches_are_halved_until_they_fit_and_the_run_trains_the_same(
    settings: Settings, train: Train, model: Path, tmp_path: Path, limit: Limit, engine: str
) -> None:
    settings["model"] = {"source": f"file://{without_dropout(model, tmp_path / 'model')}"}
    settings["training"]["engine"] = engine
    whole = train(settings | {"output": {"uri": f"file://{tmp_path}/whole"}})
    limit(training=2)

    ended = train(settings)

    assert ended.code == 0
    assert ended.final.adjustments == [smaller_batch(1, 8, 4, 1, 2), smaller_batch(1, 4, 2, 2, 4)]
    assert ended.final.progress == whole.final.progress.model_copy(  # type: ignore[union-attr]
        update={"samples_per_second": ended.final.progress.samples_per_second}  # type: ignore[union-attr]
    )
    losses = [line["metrics"]["eval_loss"] for line in history(tmp_path / "out") if line["kind"] == "evaluation"]
    expected = [line["metrics"]["eval_loss"] for line in history(tmp_path / "whole") if line["kind"] == "evaluation"]
    assert losses == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_the_run_goes_on_from_its_newest_checkpoint_and_a_new_attempt_knows_what_fits(
    settings: Settings, train: Train, tmp_path: Path, limit: Limit, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["checkpoints"] = {"strategy": "steps", "steps": 4}
    settings["evaluation"] = {}
    del settings["dataset"]["evaluation"]
    limit(training=4, after=6)

    ended = train(settings)

    assert (ended.code, ended.final.adjustments) == (0, [smaller_batch(5, 8, 4, 1, 2)])
    assert "going on with batch size 8 → 4" in ended.said
    assert "resuming from step 4 of 24" in ended.said

    newest = tmp_path / "out" / "checkpoints" / "step-000024"
    (newest / "manifest.json").unlink()
    limit(training=4)
    again = train(settings)

    assert (again.code, again.final.resumed_from_step) == (0, 20)
    assert again.final.adjustments == ended.final.adjustments
    assert "the GPU's memory is not enough" not in again.said


@pytest.mark.slow
def test_an_evaluation_gets_smaller_batches_of_its_own(settings: Settings, train: Train, limit: Limit) -> None:
    limit(evaluating=3)

    ended = train(settings)

    assert (ended.code, [adjustment.message for adjustment in ended.final.adjustments]) == (
        0,
        ["evaluation batch size 8 → 4 on each device", "evaluation batch size 4 → 2 on each device"],
    )


@pytest.mark.slow
def test_one_row_at_a_time_is_tried_with_activation_checkpointing(
    settings: Settings, train: Train, limit: Limit
) -> None:
    settings["training"] |= {"batchSize": 2, "epochs": 0.2}
    limit(training=0, checkpointing=True)

    ended = train(settings)

    last = ended.final.adjustments[-1]
    assert (ended.code, last.step, last.reason) == (0, 1, "CudaOutOfMemory")
    assert last.message.startswith("activation checkpointing off → on")


@pytest.mark.slow
@pytest.mark.parametrize(("can_checkpoint", "how"), [(True, " with activation checkpointing"), (False, "")])
def test_a_run_that_nothing_makes_fit_names_the_sizes(
    settings: Settings, train: Train, limit: Limit, monkeypatch: pytest.MonkeyPatch, can_checkpoint: bool, how: str
) -> None:
    monkeypatch.setattr(transformers.BertForSequenceClassification, "supports_gradient_checkpointing", can_checkpoint)
    limit(training=0)

    ended = train(settings)

    failure = ended.final.failure
    assert failure is not None
    assert (ended.code, failure.reason) == (ExitCode.OUT_OF_MEMORY, "CudaOutOfMemory")
    assert failure.message == (
        f"the GPU's memory is not enough, not even for batches of 1 row{how}: "
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB."
    )
    assert failure.hint is not None
    assert failure.hint.startswith(
        "11,394 parameters, 11,394 of them trained, with 1 row of 7 tokens take about 0.0 GiB: lower"
    )
    assert "Traceback" not in ended.said


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_nothing_of_the_model_that_did_not_fit_is_left_when_it_is_loaded_again(
    settings: Settings, train: Train, limit: Limit, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    settings["training"] |= {"engine": engine, "epochs": 0.5}
    # It loads a model without weights, which does not count.
    importlib.import_module("finetune_trainer.run.preflight.estimate")
    original, models, alive = loading.load_model, [], []

    def load_model(*arguments: Any) -> Any:
        alive.append([model() is not None for model in models])
        loaded = original(*arguments)
        models.append(weakref.ref(loaded))
        return loaded

    monkeypatch.setattr(loading, "load_model", load_model)
    limit(training=2, after=2)

    assert train(settings).code == 0
    assert alive == [[], [False], [False, False]]


def test_a_stop_is_honoured_between_two_tries(
    settings: Settings, train: Train, limit: Limit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.progress.recorder import Recorder

    original = Recorder.end

    def end(self: Recorder) -> None:
        original(self)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Recorder, "end", end)
    limit(training=4)

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (ExitCode.STOPPED, None)


def small_gpu_of_second_process(rank: int) -> None:
    """More than two rows at a time are too many for the process of rank 1, from its sixth batch on."""
    original = transformers.BertForSequenceClassification.forward
    batches = []

    def forward(self: Any, input_ids: torch.Tensor, **inputs: Any) -> Any:
        batches.append(len(input_ids))
        if rank == 1 and self.training and len(batches) > 5 and len(input_ids) > 2:
            raise torch.OutOfMemoryError(CUDA_SAYS)
        return original(self, input_ids=input_ids, **inputs)

    transformers.BertForSequenceClassification.forward = forward


@pytest.mark.slow
def test_one_of_several_processes_ends_and_the_next_attempt_begins_with_what_fits(
    settings: Settings, tmp_path: Path
) -> None:
    settings["training"] |= {"engine": "pytorch", "epochs": 1, "batchSize": 4}
    settings["checkpoints"] = {"strategy": "steps", "steps": 3}
    settings["evaluation"] = {}
    settings["processesPerNode"] = 2

    ended = run_together(settings, tmp_path / "reports", arm=small_gpu_of_second_process)
    again = run_together(settings, tmp_path / "reports", arm=small_gpu_of_second_process)

    assert ended.codes == [ExitCode.PEER_LOST, ExitCode.SMALLER_BATCHES]
    failure = ended.reports[1].failure
    assert failure is not None
    assert (failure.reason, failure.message) == (
        "CudaOutOfMemory",
        "the GPU's memory is not enough: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
        "79.11 GiB.",
    )
    assert failure.hint is not None
    assert "goes on from the newest checkpoint with batch size 4 → 2 on each device" in failure.hint
    assert (again.codes, again.reports[0].resumed_from_step) == ([0, 0], 3)
    assert again.reports[0].adjustments == [smaller_batch(4, 4, 2, 1, 2)]
    assert not (tmp_path / "out" / "adjustment.json").exists()


def test_what_is_left_for_the_next_attempt_can_be_left_in_a_bucket(settings: Settings, tmp_path: Path, s3: S3) -> None:
    config = RunConfig.model_validate(settings | {"output": {"uri": f"s3://{BUCKET}/{tmp_path.name}"}})
    output, fit = open_output(config.output.uri, config.identity(), {}), BatchPlan(4, 2, 8, True)

    write_hint(output, BatchPlan(8, 1, 8, False))
    write_hint(output, fit)
    found = read_hint(output)
    clear_hint(output)

    assert (found, read_hint(output)) == (fit, None)
