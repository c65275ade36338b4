"""`prepare`: what a run will be, or why it cannot be, before anything is trained."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import transformers
from ruamel.yaml import YAML
from tests.trainer.test_failing_rows import save_bart, use, with_an_end_in
from tests.trainer.tiny import Settings, Train, texts
from tests.trainer.tiny_language import save_llama, sentences, write_rows

from finetune_api.report import ENV_TERMINATION_LOG, ExitCode
from finetune_trainer.__main__ import main
from finetune_trainer.run.preflight import preflight
from finetune_trainer.storage.local_output import LocalOutput

Prepare = Callable[..., tuple[int, str]]


@pytest.fixture
def prepare(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Prepare:
    """Runs the command in this process. Returns its exit code, and what it printed or logged."""
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(tmp_path / "termination-log"))
    monkeypatch.setattr("finetune_trainer.run.preflight.estimate.available_memory", lambda: 2**30)

    def run(settings: Settings, *arguments: str) -> tuple[int, str]:
        YAML().dump(settings, tmp_path / "run.yaml")
        capsys.readouterr()
        code = main(["prepare", "--config", str(tmp_path / "run.yaml"), *arguments])
        return code, capsys.readouterr().out or caplog.text

    return run


def test_a_run_is_predicted_without_a_weight_being_read(
    settings: Settings, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", None)

    code, said = prepare(settings)

    assert code == 0
    assert re.sub(r"sha256:\w+", "sha256:…", said.replace(str(tmp_path.parent), "")).splitlines() == [
        f"model:       {settings['model']['source'].replace(str(tmp_path.parent), '')} at sha256:…, 11.4 k parameters",
        f"data:        {settings['dataset']['source'].replace(str(tmp_path.parent), '')}, 96 rows to train, 30 to evaluate",
        "labels:      bad 32, good 64",
        "tokens:      median 6, 95 % within 7, longest 7; at most 32, which none reach",
        "steps:       24 of 8 rows",
        "memory:      about 0.4 MiB (weights 0.0 MiB, gradients 0.0 MiB, optimizer 0.1 MiB, activations 0.1 MiB, "
        "copy of a checkpoint 0.1 MiB); CPU has 1.0 GiB free",
        f"output:      {settings['output']['uri'].replace(str(tmp_path.parent), '')} can be written, and takes up to 0.3 MiB",
    ]
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "termination-log").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "training",
    [
        {"epochs": 1.5, "arguments": {"gradient_accumulation_steps": 5}},
        {"epochs": 1, "batchSize": 7, "arguments": {"dataloader_drop_last": True}},
        {"arguments": {"max_steps": 3}},
        {"epochs": 1, "lora": {"rank": 2}},
    ],
)
def test_steps_and_parameters_are_those_of_the_run(
    settings: Settings, prepare: Prepare, train: Train, training: dict[str, Any]
) -> None:
    settings["training"] |= training
    settings["dataset"]["train"] = {"split": "train[:50]"}

    code, said = prepare(settings, "--json")

    found = json.loads(said)
    final = train(settings).final
    assert code == 0
    assert final.progress
    assert found["steps"] == final.progress.total_steps
    # Seven linear layers of BERT's, their widths at rank 2; and the head once more, which is trained.
    adapter = 2 * (5 * 64 + 2 * 96) + 66
    expected = (11_394 + adapter, adapter) if "lora" in training else (11_394, 11_394)
    assert (found["parameters"], found["trained"]) == expected


def test_of_many_rows_a_sample_stands_for_all(
    settings: Settings, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = texts(500)
    rows["text"][401] = "the film was a day and then " * 3
    rows["label"][303] = "neither"
    datasets.Dataset.from_dict(rows).to_json(tmp_path / "rows.jsonl")
    settings["dataset"]["source"] = f"file://{tmp_path}/rows.jsonl"
    settings["dataset"]["evaluation"] = {"split": "train[:100]"}
    monkeypatch.setattr(preflight, "SAMPLE", 50)

    code, said = prepare(settings, "--json")

    found = json.loads(said)
    assert code == 0
    assert (found["train_rows"], found["evaluation_rows"], found["steps"]) == (500, 100, 126)
    assert 50 < found["tokenised"] < 60
    assert found["labels"]["neither"] == 1
    assert found["lengths"]["longest"] == 23
    _, shown = prepare(settings)
    counted = [line for line in shown.splitlines() if line.endswith(f"(of a sample of {found['tokenised']} rows)")]
    assert [line.split(":")[0] for line in counted] == ["labels", "tokens"]


def test_a_missing_label_among_many_is_found(
    settings: Settings, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = texts(500)
    rows["label"][477] = None  # type: ignore[call-overload]
    datasets.Dataset.from_dict(rows).to_json(tmp_path / "rows.jsonl")
    settings["dataset"] = {"source": f"file://{tmp_path}/rows.jsonl", "train": {"split": "train"}}
    del settings["evaluation"]
    monkeypatch.setattr(preflight, "SAMPLE", 50)

    code, said = prepare(settings)

    assert code == ExitCode.DATA
    assert "column 'label' is empty in row 478 of split 'train'" in said


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_the_time_is_that_of_steps_and_batches_which_leave_nothing_behind(
    settings: Settings, prepare: Prepare, tmp_path: Path, engine: str
) -> None:
    settings["training"]["engine"] = engine

    code, said = prepare(settings, "--time", "--json")

    found = json.loads(said)
    timing = found["timing"]
    (low, high), evaluation = timing["step_seconds"], timing["evaluation_seconds"]
    assert (code, found["not_timed"]) == (0, None)
    assert (timing["evaluations"], timing["measured_steps"] in range(5, 23)) == (2, True)
    assert 0 < low <= high
    assert evaluation > 0
    assert timing["seconds"] == pytest.approx([24 * low + 2 * evaluation, 24 * high + 2 * evaluation])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_of_packed_texts_steps_are_those_of_the_run_and_are_timed(
    settings: Settings, prepare: Prepare, train: Train, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", sentences() * 60)
    settings["task"], settings["evaluation"] = "causal-lm", {}
    settings["model"] = {"source": f"file://{save_llama(tmp_path / 'llama')}"}
    settings["dataset"] = {"source": f"file://{rows}", "train": {"split": "train"}}
    settings["preprocessing"] = {"packing": True, "maxLength": 16}
    settings["training"] |= {"batchSize": 2, "epochs": 1}

    code, said = prepare(settings, "--time", "--json")

    found, final = json.loads(said), train(settings).final
    assert (code, found["not_timed"], found["train_rows"]) == (0, None, 360)
    assert final.progress
    assert found["steps"] == final.progress.total_steps
    assert found["steps"] < 360 / 2
    low, high = found["timing"]["step_seconds"]
    assert 0 < low <= high
    assert found["timing"]["seconds"] == pytest.approx([found["steps"] * low, found["steps"] * high])


@pytest.mark.slow
def test_the_time_of_a_run_that_is_not_for_this_machine_is_not_told(
    settings: Settings, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    _, of_several = prepare(settings | {"processesPerNode": 2}, "--time")
    refused, _ = prepare(settings | {"gpus": 1}, "--time")
    code, of_gpus = prepare(settings | {"gpus": 1}, "--time", "--assume")
    monkeypatch.setattr("finetune_trainer.run.preflight.estimate.available_memory", lambda: 80_000)
    _, of_little = prepare(settings, "--time")

    assert "time:        not measured: the run is of 2 processes, which wait for each other" in of_several
    assert (refused, code) == (ExitCode.DEVICE, 0)
    assert "time:        not measured: the run is for GPUs that this machine does not have" in of_gpus
    assert "time:        not measured: the memory may not be enough for a step here" in of_little


def test_of_an_engine_that_is_not_installed_here_all_but_the_time_is_told(
    settings: Settings, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("check", "keras.arguments"):
        monkeypatch.setattr(f"finetune_trainer.engines.{module}.find_spec", lambda name: None)
    settings["training"]["engine"] = "keras"

    refused, _ = prepare(settings, "--time")
    code, said = prepare(settings, "--time", "--assume", "--json")

    assert (refused, code) == (ExitCode.BAD_CONFIGURATION, 0)
    found = json.loads(said)
    assert found["steps"] == 24
    assert found["not_timed"] == "engine keras is not installed here; its first steps will tell"
    assert any("whether it can train this model is not checked" in each for each in found["warnings"])


def test_a_row_that_no_step_can_take_is_named_where_steps_are_timed(
    settings: Settings, prepare: Prepare, tmp_path: Path
) -> None:
    settings["model"] = {"source": save_bart(tmp_path / "bart")}
    use(settings, tmp_path, with_an_end_in(texts(40), 17), texts(8))

    code, said = prepare(settings, "--time")

    assert code == ExitCode.DATA
    assert "error: row 17 of split 'train'" in said
    assert "cannot be trained on in one batch" in said


def test_too_little_memory_is_a_warning(settings: Settings, prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_trainer.run.preflight.estimate.available_memory", lambda: 80_000)
    settings["training"]["lora"] = {"rank": 2, "merge": True}

    code, said = prepare(settings)

    assert code == 0
    warnings = said.splitlines()[-2:]
    assert warnings[0].startswith("warning:     the memory may not be enough: about 0.0 GiB are needed")
    assert warnings[1].startswith("warning:     the memory may not be enough to merge the adapter at the end")


@pytest.mark.slow
def test_too_little_room_for_the_output_is_a_warning(
    settings: Settings, prepare: Prepare, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalOutput, "free", 300_000)
    settings["training"]["epochs"] = 2

    _, said = prepare(settings)
    ended = train(settings)

    assert said.splitlines()[-1].startswith(
        "warning:     the output may become full: its checkpoints and the model take"
    )
    assert ended.said.count("the output may become full") == 1
    assert "the output may become full" not in train(settings).said


def test_a_run_with_too_little_memory_warns_and_tries(
    settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_trainer.run.preflight.estimate.available_memory", lambda: 300_000)
    settings["training"]["epochs"] = 0.1

    ended = train(settings)

    assert ended.code == 0
    assert "the memory may not be enough: about 0.0 GiB are needed on each device, 0.0 GiB are free" in ended.said


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"training": {"arguments": {"warmup_step": 1}}}, ExitCode.BAD_CONFIGURATION, "did you mean 'warmup_steps'?"),
        (
            {"training": {"arguments": {"lr_scheduler_type": "cosine_with_min_lr"}}},
            ExitCode.BAD_CONFIGURATION,
            "min_lr",
        ),
        ({"training": {"arguments": {"optim": "lomo"}}}, ExitCode.BAD_CONFIGURATION, "lomo"),
        ({"model": {"source": "file:///nowhere"}}, ExitCode.MODEL, "file:///nowhere: there is nothing at /nowhere"),
        ({"output": {"uri": "file:///proc/out"}}, ExitCode.OUTPUT, "/proc/out"),
        ({"training": {"lora": {"targetModules": ["q"]}}}, ExitCode.BAD_CONFIGURATION, "the model has no such module"),
    ],
)
def test_what_is_wrong_is_reported_with_the_exit_code_of_the_run(
    settings: Settings, prepare: Prepare, change: Settings, code: ExitCode, message: str
) -> None:
    ended, said = prepare(settings | change)

    assert ended == code
    assert message in said


def test_weights_that_are_not_there_are_missed(
    settings: Settings, prepare: Prepare, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    transformers.AutoModel.from_pretrained(model).save_pretrained(folder, max_shard_size=10_000)
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    settings["model"]["source"] = f"file://{folder}"
    # Of weights in another format, which were not fetched since nothing reads them where safetensors are.
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}')
    assert prepare(settings)[0] == 0
    first = min(folder.glob("model-*.safetensors"))
    first.unlink()

    code, said = prepare(settings)

    assert code == ExitCode.MODEL
    assert f"file://{folder} lacks {first.name}, which its model.safetensors.index.json names" in said
    (folder / "model.safetensors.index.json").write_text("{")

    code, said = prepare(settings)

    assert code == ExitCode.MODEL
    assert f"file://{folder}: model.safetensors.index.json does not tell which files hold the weights: " in said
