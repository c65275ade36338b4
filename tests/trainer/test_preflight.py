"""What each run finds out before its first step, and tells in its log and its reports."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from ruamel.yaml import YAML
from tests.trainer.test_prepare import Prepare, prepare  # noqa: F401 - a fixture
from tests.trainer.test_token_classification import tagged
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import COLOUR_OF, save_llama, save_t5, sentences, write_rows

from finetune_api.report import ENV_TERMINATION_LOG, ENV_TOKENS, ExitCode, FinalReport
from finetune_trainer.__main__ import main
from finetune_trainer.data.rows import Rows
from finetune_trainer.run import find as preparing


def classified(settings: Settings, folder: Path) -> dict[str, Any]:
    return {
        "trainRows": 96,
        "evaluationRows": 30,
        "classCount": 2,
        "classes": [{"name": "bad", "rows": 32}, {"name": "good", "rows": 64}],
        "lengths": {"median": 6, "p95": 7, "longest": 7, "limit": 32, "atLimit": "0"},
        "steps": 24,
        "batchSize": 8,
    }


def with_tags(settings: Settings, folder: Path) -> dict[str, Any]:
    rows = [
        {"tokens": tokens, "tags": tags}
        for tokens, tags in zip(*(tagged(12)[k] for k in ("tokens", "tags")), strict=True)
    ]
    settings["task"], settings["evaluation"] = "token-classification", {}
    settings["dataset"] = {"source": f"file://{write_rows(folder / 'rows.jsonl', rows)}", "train": {"split": "train"}}
    counts = {tag: sum(row["tags"].count(tag) for row in rows) for tag in ("B-bad", "B-good", "I-bad", "I-good", "O")}
    return {
        "trainRows": 12,
        "classCount": 5,
        "classes": [{"name": tag, "rows": count} for tag, count in counts.items() if count],
        "steps": 4,
        "batchSize": 8,
    }


def language(settings: Settings, folder: Path) -> dict[str, Any]:
    settings["task"], settings["evaluation"] = "causal-lm", {}
    settings["model"] = {"source": f"file://{save_llama(folder / 'llama')}"}
    settings["preprocessing"] = {"packing": False}
    source = f"file://{write_rows(folder / 'rows.jsonl', sentences())}"
    settings["dataset"] = {"source": source, "train": {"split": "train"}}
    settings["training"] |= {"batchSize": 2, "arguments": {"gradient_accumulation_steps": 2}}
    return {"trainRows": 6, "classCount": 0, "classes": [], "steps": 4, "batchSize": 4}


def translated(settings: Settings, folder: Path) -> dict[str, Any]:
    rows = [{"text": f"{thing} ?", "target": f"the {thing} is {colour}"} for thing, colour in COLOUR_OF.items()]
    settings["task"], settings["evaluation"] = "seq2seq", {}
    settings["model"] = {"source": f"file://{save_t5(folder / 't5')}"}
    source = f"file://{write_rows(folder / 'rows.jsonl', rows)}"
    settings["dataset"] = {"source": source, "train": {"split": "train"}}
    settings["training"]["batchSize"] = 2
    return {"trainRows": 6, "classCount": 0, "classes": [], "steps": 6, "batchSize": 2}


@pytest.mark.parametrize("task", [classified, with_tags, language, translated])
def test_a_run_reports_what_it_found_out_before_its_first_step(
    settings: Settings,
    train: Train,
    tmp_path: Path,
    task: Callable[[Settings, Path], dict[str, Any]],
) -> None:
    expected = task(settings, tmp_path)

    ended = train(settings)

    assert ended.code == 0, ended.said
    found = ended.final.preflight
    assert found
    assert found.to_wire() | expected == found.to_wire()
    assert ended.final.progress
    assert found.steps == ended.final.progress.total_steps
    assert found.device == "CPU"
    assert found.memory
    memory = found.memory
    assert memory.total == memory.weights + memory.gradients + memory.optimizer + memory.activations + memory.checkpoint
    assert memory.available
    assert found.output_bytes
    assert f"steps:       {found.steps:,} of {found.batch_size:,} rows" in ended.said


@pytest.mark.slow
def test_a_run_and_prepare_find_the_same(settings: Settings, train: Train, prepare: Prepare) -> None:  # noqa: F811
    settings["training"]["lora"] = {"rank": 2}

    _, said = prepare(settings, "--json")
    ended = train(settings)

    foretold, found = json.loads(said), ended.final.preflight
    assert found
    assert (found.parameters, found.trained_parameters) == (foretold["parameters"], foretold["trained"])
    assert (found.steps, found.output_bytes) == (foretold["steps"], foretold["output_bytes"])
    assert {each.name: each.rows for each in found.classes} == foretold["labels"]


def test_nothing_is_loaded_before_it_is_reported(
    settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the weights cannot be read")

    monkeypatch.setattr("finetune_trainer.run.attempts.load", fail)

    ended = train(settings)

    assert ended.code == ExitCode.INTERNAL
    assert ended.final.preflight
    assert ended.final.preflight.train_rows == 96


def test_weights_that_are_not_there_end_a_run_before_its_rows_are_read(
    settings: Settings, train: Train, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in model.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    settings["model"]["source"] = f"file://{folder}"
    monkeypatch.setattr(preparing, "load_rows", None)

    ended = train(settings)

    assert ended.code == ExitCode.MODEL
    assert ended.final.failure
    assert ended.final.failure.reason == "WeightsMissing"


def test_a_finished_run_reports_it_again(settings: Settings, train: Train) -> None:
    settings["training"]["epochs"] = 1
    first = train(settings)

    again = train(settings)

    assert again.code == 0
    assert again.final.preflight
    assert first.final.preflight
    same = {"memory": None}
    assert again.final.preflight.model_copy(update=same) == first.final.preflight.model_copy(update=same)


@pytest.mark.slow
def test_two_processes_tell_it_once(settings: Settings, train: Train) -> None:
    settings["training"]["epochs"] = 1

    ended = train(settings | {"processesPerNode": 2})

    assert ended.code == 0
    assert ended.final.preflight
    assert (ended.final.preflight.steps, ended.final.preflight.batch_size) == (6, 16)


@pytest.fixture
def prepare_for_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, FinalReport]]:
    """Runs `prepare --for-job`. Returns its exit code and its final report."""
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(tmp_path / "termination-log"))

    def run(settings: Settings, *arguments: str) -> tuple[int, FinalReport]:
        YAML().dump(settings, tmp_path / "run.yaml")
        code = main(["prepare", "--for-job", "--config", str(tmp_path / "run.yaml"), *arguments])
        return code, FinalReport.model_validate_json((tmp_path / "termination-log").read_text())

    return run


PrepareForJob = Callable[..., tuple[int, FinalReport]]


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
@pytest.mark.parametrize(
    "arguments", [{}, {"bf16": True, "tf32": True}, {"fp16": True}, {"bf16_full_eval": True}, {"bf16": False}]
)
def test_a_run_on_gpus_is_predicted_without_one(
    settings: Settings, prepare_for_job: PrepareForJob, arguments: dict[str, Any]
) -> None:
    settings |= {"gpus": 2}
    settings["training"]["arguments"] = arguments

    code, final = prepare_for_job(settings)

    assert code == 0
    found = final.preflight
    assert found
    assert found.memory
    assert (found.device, found.memory.available, found.steps, found.batch_size) == ("GPU", None, 12, 16)
    in_bf16 = arguments.get("bf16", not arguments.get("fp16"))
    # Under mixed precision a trained weight of 4 bytes has a copy of 2 bytes besides.
    assert found.memory.weights == found.parameters * (6 if in_bf16 else 4)
    assert final.provenance
    assert final.provenance.dataset_fingerprint


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_a_model_that_is_spread_over_gpus_is_predicted_without_one(
    settings: Settings, prepare_for_job: PrepareForJob, engine: str
) -> None:
    settings |= {"gpus": 4, "nodes": 2}
    settings["training"] |= {"engine": engine, "parallelism": "fsdp", "batchSize": 2}

    code, final = prepare_for_job(settings)

    assert code == 0
    assert final.preflight
    assert final.preflight.memory
    assert final.preflight.memory.optimizer == final.preflight.parameters * 8 // 8
    assert (final.preflight.steps, final.preflight.batch_size) == (12, 16)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
@pytest.mark.parametrize(
    ("free", "told"),
    [
        (300_000, None),
        # Weights, gradients and the optimizer's state, 18 bytes for each of 11,394 weights, are spread; activations are not.
        (200_000, "; spread over 2 GPUs (resources.gpus) by training.parallelism: fsdp it should fit"),
        (100_000, "; spread over 8 GPUs (resources.gpus) by training.parallelism: fsdp it should fit"),
        (20_000, "training.lora trains less"),
    ],
)
def test_too_few_gpus_are_reported_with_how_many_would_do(
    settings: Settings,
    prepare_for_job: PrepareForJob,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    told: str | None,
) -> None:
    monkeypatch.setattr("finetune_trainer.run.preflight.estimate.free_memory", lambda *_: free)
    settings |= {"gpus": 1}

    _, final = prepare_for_job(settings)

    assert final.preflight
    messages = [warning.message for warning in final.warnings]
    assert [message.endswith(told) for message in messages] == [True] if told else messages == []


def test_the_memory_of_the_machine_is_not_that_of_the_one_that_trains(
    settings: Settings, prepare_for_job: PrepareForJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_trainer.run.preflight.estimate.available_memory", lambda: 1)

    code, final = prepare_for_job(settings)

    assert (code, final.warnings) == (0, [])
    assert final.preflight
    assert final.preflight.memory
    assert (final.preflight.device, final.preflight.memory.available) == ("CPU", None)


def test_for_a_job_all_rows_are_tokenised(
    settings: Settings, prepare_for_job: PrepareForJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_trainer.run.preflight.preflight.SAMPLE", 10)

    _, final = prepare_for_job(settings)

    assert final.preflight
    assert final.preflight.sampled_rows is None
    assert [each.rows for each in final.preflight.classes] == [32, 64]


def test_an_output_on_a_volume_that_is_not_at_hand_is_left_to_the_training(
    settings: Settings, prepare_for_job: PrepareForJob, capsys: pytest.CaptureFixture[str]
) -> None:
    settings["output"] = {"uri": "pvc://models/here"}

    code, final = prepare_for_job(settings)

    assert code == 0
    assert final.preflight
    assert final.preflight.output_bytes
    assert "pvc://models/here is opened by the training, and takes up to" in capsys.readouterr().out


def test_a_mistake_is_said_in_the_final_report_for_the_operator(
    settings: Settings, prepare_for_job: PrepareForJob
) -> None:
    settings["dataset"]["columns"] = {"text": "txt"}

    code, final = prepare_for_job(settings)

    assert code == final.exit_code == ExitCode.DATA
    assert final.failure
    assert (final.failure.reason, final.preflight) == ("ColumnNotFound", None)


def test_being_stopped_is_no_failure(
    settings: Settings, prepare_for_job: PrepareForJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> Rows:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was not heard")

    monkeypatch.setattr(preparing, "load_rows", stop)

    code, final = prepare_for_job(settings)

    assert code == final.exit_code == ExitCode.STOPPED
    assert final.failure is None


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the stages of one job share, which are on two machines."""
    monkeypatch.setenv(ENV_TOKENS, str(tmp_path / "out" / ".tokens"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "machine-1")
    return tmp_path / "out" / ".tokens"


def test_the_training_takes_over_the_tokens_of_the_preflight(
    settings: Settings,
    train: Train,
    prepare_for_job: PrepareForJob,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings["training"]["epochs"] = 1
    assert prepare_for_job(settings)[0] == 0
    left = sorted(path.name for path in shared.iterdir())
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "machine-2")
    monkeypatch.setattr("finetune_trainer.tasks.text_classification.encode_texts", None)

    ended = train(settings)

    assert ended.code == 0, ended.said
    assert len(left) == 2
    assert sorted(path.name for path in (tmp_path / "machine-2" / "tokenized").iterdir()) == left
    assert not shared.exists()


def test_a_preflight_that_fails_leaves_nothing_in_the_output(
    settings: Settings, prepare_for_job: PrepareForJob, shared: Path
) -> None:
    settings["training"]["lora"] = {"targetModules": ["nothing"]}  # found out after the rows were tokenised

    code, _ = prepare_for_job(settings)

    assert code == ExitCode.BAD_CONFIGURATION
    assert not shared.exists()


def test_tokens_that_cannot_be_left_are_made_again(
    settings: Settings, train: Train, shared: Path, tmp_path: Path
) -> None:
    settings["training"]["epochs"] = 1
    (tmp_path / "out").mkdir()
    shared.write_text("a file where the folder should be")

    assert train(settings).code == 0
