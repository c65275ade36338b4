"""What users get wrong: each mistake has its exit code, reason and message with a name in it, and no traceback."""

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import safetensors.torch
import tokenizers
import transformers
from tests.trainer.tiny import VOCABULARY, Settings, Train, make_tokenizer, texts
from tests.trainer.tiny_language import save_t5

from finetune_api.report import ENV_OWN_VOLUME, ExitCode
from finetune_api.status import Failure
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.run import failure as failure_module

Mistake = Callable[[Settings, Path], object]


def rows(settings: Settings, folder: Path, **columns: list[object]) -> None:
    """Train on these columns instead, each row four times."""
    datasets.Dataset.from_dict({name: values * 4 for name, values in columns.items()}).save_to_disk(folder / "rows")
    settings["dataset"] = {"source": f"file://{folder}/rows", "train": {"split": "train"}}
    del settings["evaluation"]


def file(settings: Settings, folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    settings["dataset"] = {"source": f"file://{folder}/{name}", "train": {"split": "train"}}
    del settings["evaluation"]


def no_token(settings: Settings, folder: Path) -> None:
    """A tokenizer that puts nothing around a text."""
    other_weights(settings, folder)
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="$A")
    tokenizer.save_pretrained(folder / "model")
    rows(settings, folder, text=["a", "", "b"], label=["x", "y", "x"])


def unseen_label(settings: Settings, folder: Path) -> None:
    columns = texts(12)
    columns["label"][9] = "ugly"
    datasets.Dataset.from_dict(columns).save_to_disk(folder / "rows")
    settings["dataset"] |= {
        "source": f"file://{folder}/rows",
        "train": {"split": "train[:6]"},
        "evaluation": {"split": "train[6:]", "samples": 6, "seed": 1},
    }


def unseen(settings: Settings, folder: Path, train: list[object], evaluation: list[object]) -> None:
    """Labels of rows to train and to evaluate on, both of one file."""
    labels = [*train, *evaluation]
    datasets.Dataset.from_dict({"text": ["a"] * len(labels), "label": labels}).save_to_disk(folder / "rows")
    settings["dataset"] |= {
        "source": f"file://{folder}/rows",
        "train": {"split": f"train[:{len(train)}]"},
        "evaluation": {"split": f"train[{len(train)}:]"},
    }
    settings["evaluation"] = {}


def splits(settings: Settings, folder: Path, train: str, evaluation: str) -> None:
    """A file of one row for each."""
    (folder / "rows").mkdir()
    (folder / "rows" / "train.jsonl").write_text(train)
    (folder / "rows" / "test.jsonl").write_text(evaluation)
    settings["dataset"]["source"] = f"file://{folder}/rows"


def unlabelled(settings: Settings, folder: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])})
    datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, -1]}, features).save_to_disk(folder / "rows")
    settings["dataset"] |= {"source": f"file://{folder}/rows", "evaluation": {"split": "train"}}


def other_weights(settings: Settings, folder: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(folder / "model")
    make_tokenizer().save_pretrained(folder / "model")
    config.hidden_size = 32
    config.save_pretrained(folder / "model")
    settings["model"] = {"source": f"file://{folder}/model"}


def unlike_t5(settings: Settings, folder: Path, config: Settings, prefix: str = "") -> None:
    """A model that does not part body and head, whose weights are not what its config.json says."""
    there = save_t5(folder / "model")
    weights = safetensors.torch.load_file(there / "model.safetensors")
    named = {f"{prefix}{name}": weight for name, weight in weights.items()}
    safetensors.torch.save_file(named, there / "model.safetensors", {"format": "pt"})
    described = json.loads((there / "config.json").read_text())
    (there / "config.json").write_text(json.dumps(described | config))
    settings["task"], settings["model"] = "seq2seq", {"source": f"file://{there}"}
    settings["dataset"]["columns"] = {"target": "label"}
    del settings["evaluation"]


def torn_weights(settings: Settings, folder: Path) -> None:
    other_weights(settings, folder)
    (folder / "model" / "model.safetensors").write_bytes(b"torn")


def unreadable_weights(settings: Settings, folder: Path) -> None:
    """A folder in their place: permissions would not keep root from reading."""
    other_weights(settings, folder)
    (folder / "model" / "model.safetensors").unlink()
    (folder / "model" / "model.safetensors").mkdir()


def checkpointed_albert(settings: Settings, folder: Path) -> None:
    config = transformers.AlbertConfig(
        vocab_size=len(VOCABULARY), embedding_size=16, hidden_size=16, num_attention_heads=2, intermediate_size=16
    )
    transformers.AlbertModel(config).save_pretrained(folder / "model")
    make_tokenizer().save_pretrained(folder / "model")
    settings["model"] = {"source": f"file://{folder}/model"}
    settings["training"]["arguments"] = {"gradient_checkpointing": True}


def own_code(settings: Settings, folder: Path) -> None:
    other_weights(settings, folder)
    config = {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "model" / "config.json").write_text(json.dumps(config))


def problem(name: str, label: list[object]) -> Mistake:
    def make(settings: Settings, folder: Path) -> None:
        rows(settings, folder, text=["a", "b"], label=label)
        settings["model"]["problemType"] = name

    return make


def argument(name: str, value: object) -> Mistake:
    return lambda settings, folder: settings["training"].update(arguments={name: value})


NO_FINITE_LOSS: Settings = {
    "learningRate": 1,
    "arguments": {
        "max_grad_norm": 0, "optim": "sgd", "lr_scheduler_type": "constant", "label_smoothing_factor": -1e38,
    },
}  # fmt: skip
"""Settings of a training whose first loss is not a number."""


MISTAKES: dict[str, tuple[Mistake, ExitCode, str, str]] = {
    "no such field": (
        lambda s, f: s["training"].update(learning_rate=1), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.learning_rate: there is no such field; did you mean 'learningRate'?",
    ),
    "claim not given": (
        lambda s, f: s["model"].update(source="pvc://models/bert"), ExitCode.BAD_CONFIGURATION, "VolumeNotGiven",
        "pvc://models/bert: volume 'models' is not known here; none is given",
    ),
    "no such argument": (
        argument("warmup_step", 1), ExitCode.BAD_CONFIGURATION, "UnknownArgument",
        "training.arguments.warmup_step: transformers.TrainingArguments has no such field; "
        "did you mean 'warmup_steps'?",
    ),
    "argument that is ours": (
        argument("eval_strategy", "no"), ExitCode.BAD_CONFIGURATION, "ArgumentOwned",
        "training.arguments.eval_strategy: is set by the operator",
    ),
    "argument of the wrong type": (
        argument("warmup_steps", "many"), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.warmup_steps: should be a valid number, unable to parse string as a number, not 'many'",
    ),
    "argument that transformers refuses": (
        argument("warmup_steps", -1), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.warmup_steps: Got warmup_steps = -1",
    ),
    "optimizer that does not exist": (
        argument("optim", "adam"), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.optim: adam is not a valid OptimizerNames",
    ),
    "optimizer that is not installed": (
        argument("optim", "adamw_bnb_8bit"), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.optim: 'adamw_bnb_8bit'",
    ),
    "schedule with wrong arguments": (
        argument("lr_scheduler_kwargs", {"wings": 2}), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.lr_scheduler_type: 'linear' is not possible",
    ),
    "too long for the model": (
        lambda s, f: s.update(preprocessing={"maxLength": 64}), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "preprocessing.maxLength: 64 is more than the 32 tokens that the model takes",
    ),
    "no room for text": (
        lambda s, f: s.update(preprocessing={"maxLength": 2}), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "preprocessing.maxLength: 2 leaves no room beside the 2 special tokens",
    ),
    "slice that is none": (
        lambda s, f: s["dataset"]["train"].update(split="train[:x]"), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "split 'train[:x]'",
    ),
    "no such file": (
        lambda s, f: s["dataset"].update(source="file:///nothing/here.csv"), ExitCode.DATA, "DatasetNotFound",
        "file:///nothing/here.csv: there is nothing at /nothing/here.csv",
    ),
    "no such split": (
        lambda s, f: s["dataset"]["evaluation"].update(split="tset"), ExitCode.DATA, "SplitNotFound",
        "there is no split 'tset', only train, test; did you mean 'test'?",
    ),
    "no such column": (
        lambda s, f: s["dataset"].update(columns={"label": "labels"}), ExitCode.DATA, "ColumnNotFound",
        "split 'train' has no column 'labels', only text, label; did you mean 'label'?",
    ),
    "one column for two fields": (
        lambda s, f: s["dataset"].update(columns={"text": "label"}), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "dataset.columns: text and label are both 'label'",
    ),
    "text of numbers": (
        lambda s, f: rows(s, f, text=[1, 2], label=["a", "b"]), ExitCode.DATA, "ColumnType",
        "column 'text' of split 'train' holds int64 and not text (row 1: 1)",
    ),
    "class of fractions": (
        problem("single_label_classification", label=[0.5, 1.5]), ExitCode.DATA, "ColumnType",
        "column 'label' in row 1 of split 'train' (counted from 1) holds 0.5, which cannot be a class",
    ),
    "class of lists": (
        problem("single_label_classification", label=[[1], [2]]), ExitCode.DATA, "ColumnType",
        "column 'label' of split 'train' holds list of int64, which cannot be a class (row 1: [1])",
    ),
    "several classes that are no list": (
        problem("multi_label_classification", label=["a", "b"]), ExitCode.DATA, "ColumnType",
        "column 'label' of split 'train' holds text, and a list is needed (row 1: 'a')",
    ),
    "number that is text": (
        problem("regression", label=["1,5", "2"]), ExitCode.DATA, "ColumnType",
        "column 'label' of split 'train' holds text, and regression needs numbers (row 1: '1,5')",
    ),
    "number that is none": (
        lambda s, f: rows(s, f, text=["a", "b"], label=[1.5, math.inf]), ExitCode.DATA, "ValueMissing",
        "column 'label' is inf in row 2 of split 'train'",
    ),
    "list of classes with a hole": (
        lambda s, f: rows(s, f, text=["a", "b"], label=[["x"], ["y", None]]), ExitCode.DATA, "ValueMissing",
        "column 'label' has a list with an empty entry in row 2 of split 'train'",
    ),
    "no class in any list": (
        lambda s, f: rows(s, f, text=["a", "b"], label=[[], []]), ExitCode.DATA, "OneLabel",
        "column 'label' has no label in split 'train'",
    ),
    "several classes unseen in training": (
        lambda s, f: unseen(s, f, [["x"], ["x", "y"]], [["y"], ["y", "z"]]), ExitCode.DATA, "UnknownLabel",
        "column 'label' in row 4 of split 'train' (counted from 1) has the label 'z', "
        "which the training rows do not have; they have x, y",
    ),
    "marks of another number of classes": (
        lambda s, f: unseen(s, f, [[0, 1, 1], [1, 0, 0]], [[0, 1, 1], [0, 1]]), ExitCode.DATA, "UnknownLabel",
        "column 'label' in row 4 of split 'train' (counted from 1) holds [0, 1]; "
        "the training rows have 0 or 1 for each of 3 classes",
    ),
    "metric of another problem": (
        lambda s, f: (unseen(s, f, [1.5, 2.5], [1.5]), s.update(evaluation={"metrics": ["f1", "mse"]})),
        ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "evaluation.metrics: f1 cannot be computed for regression; its metrics are pearsonr, spearmanr, mse, mae",
    ),
    "smoothed number": (
        lambda s, f: (rows(s, f, text=["a", "b"], label=[1.5, 2.5]), argument("label_smoothing_factor", 0.1)(s, f)),
        ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.label_smoothing_factor: a label cannot be smoothed in regression",
    ),
    "text that is missing": (
        lambda s, f: rows(s, f, text=["a", "b", None], label=["x", "y", "z"]), ExitCode.DATA, "ValueMissing",
        "column 'text' is empty in row 3 of split 'train' (counted from 1)",
    ),
    "text without a token": (
        no_token, ExitCode.DATA, "EmptyText", "row 2 of split 'train' (counted from 1) has no tokens: its text is empty",
    ),
    "label that is missing": (
        lambda s, f: rows(s, f, text=["a", "b"], label=["x", None]), ExitCode.DATA, "ValueMissing",
        "column 'label' is empty in row 2 of split 'train'",
    ),
    "label that is empty": (
        lambda s, f: rows(s, f, text=["a", "b", "c"], label=["x", "y", ""]), ExitCode.DATA, "ValueMissing",
        "column 'label' in row 3 of split 'train' (counted from 1) is empty",
    ),
    "one label only": (
        lambda s, f: rows(s, f, text=["a", "b"], label=["x", "x"]), ExitCode.DATA, "OneLabel",
        "column 'label' has only the label 'x'",
    ),
    "label unseen in training": (
        unseen_label, ExitCode.DATA, "UnknownLabel",
        "column 'label' in row 10 of split 'train' (counted from 1) has the label 'ugly', "
        "which the training rows do not have; they have bad, good",
    ),
    "row without a label": (unlabelled, ExitCode.DATA, "NotLabelled", "column 'label' in row 2 of split 'train'"),
    "no rows": (
        lambda s, f: s["dataset"]["train"].update(split="train[:0]"), ExitCode.DATA, "NoRows",
        "split 'train[:0]' has no rows",
    ),
    "empty file": (lambda s, f: file(s, f, "a.csv", b""), ExitCode.DATA, "DatasetUnreadable", "a.csv cannot be read"),
    "csv with a header alone": (
        lambda s, f: file(s, f, "a.csv", b"text,label\n"), ExitCode.DATA, "NoRows", "a.csv has no rows",
    ),
    "jsonl without a line": (
        lambda s, f: file(s, f, "a.jsonl", b""), ExitCode.DATA, "NoRows", "a.jsonl has no rows",
    ),
    "evaluation file without a line": (
        lambda s, f: splits(s, f, '{"text": "a", "label": "x"}', ""), ExitCode.DATA, "NoRows",
        "rows has no rows in split 'test'",
    ),
    "folder without a file": (
        lambda s, f: ((f / "rows").mkdir(), s["dataset"].update(source=f"file://{f}/rows")), ExitCode.DATA,
        "DatasetUnreadable", "rows cannot be read: there is no csv, json, jsonl or parquet file in it",
    ),
    "csv that is not UTF-8": (
        lambda s, f: file(s, f, "a.csv", b"text,label\n\xff\xfe,x\n"), ExitCode.DATA, "NotUtf8", "a.csv is not UTF-8",
    ),
    "jsonl that is not UTF-8": (
        lambda s, f: file(s, f, "a.jsonl", b'{"text": "a", "label": "x"}\n{"text": "\xe9", "label": "y"}\n'),
        ExitCode.DATA, "NotUtf8", "a.jsonl is not UTF-8: byte 0xe9 in line 2",
    ),
    "jsonl with a key twice": (
        lambda s, f: file(s, f, "a.jsonl", b'{"text": "a", "text": "b", "label": "x"}\n'),
        ExitCode.DATA, "DuplicateColumn", "a.jsonl has the column 'text' twice",
    ),
    "jsonl with labels of two types": (
        lambda s, f: file(s, f, "a.jsonl", b'{"text": "a", "label": "x"}\n{"text": "b", "label": 3}\n'),
        ExitCode.DATA, "ColumnType", "column 'label' holds values of several types: text ('x') in a.jsonl, line 1 and "
        "a number (3) in a.jsonl, line 2",
    ),
    "lists in a csv file": (
        lambda s, f: file(s, f, "a.csv", b"text,label\na,\"['x', 'y']\"\nb,['x']\n"), ExitCode.DATA, "ListAsText",
        "column 'label' of split 'train' holds lists that are written as text (row 1: \"['x', 'y']\")",
    ),
    "splits with different types": (
        lambda s, f: splits(s, f, '{"text": "a", "label": ["x", "y"]}', '{"text": "a", "label": "x"}'),
        ExitCode.DATA, "ColumnType", "column 'label' of split 'test' holds text, and a list is needed (row 1: 'x')",
    ),
    "splits with different columns": (
        lambda s, f: splits(s, f, '{"text": "a", "label": "x"}', '{"text": "a", "klass": "x"}'),
        ExitCode.DATA, "ColumnNotFound", "split 'test' has no column 'label', only text, klass",
    ),
    "not what its suffix says": (
        lambda s, f: file(s, f, "a.parquet", b"text,label\na,b\n"), ExitCode.DATA, "DatasetUnreadable",
        "a.parquet cannot be read",
    ),
    "json that is none": (
        lambda s, f: file(s, f, "a.jsonl", b'{"text": "a"\n'), ExitCode.DATA, "DatasetUnreadable",
        "a.jsonl cannot be read",
    ),
    "file of another type": (
        lambda s, f: file(s, f, "a.xlsx", b"PK"), ExitCode.DATA, "UnknownFileType", "a.xlsx is of no type",
    ),
    "text too long to keep": (
        lambda s, f: s.update(preprocessing={"maxLength": 4, "truncation": False}), ExitCode.DATA, "TextTooLong",
        "tokens, more than 4",
    ),
    "no model there": (
        lambda s, f: s["model"].update(source=f"file://{f}"), ExitCode.MODEL, "ModelNotFound", "no config.json in",
    ),
    "weights of another model": (
        other_weights, ExitCode.MODEL, "WeightsDoNotFit", "weights are of another shape (bert.",
    ),
    "weights of another model without a head": (
        lambda s, f: unlike_t5(s, f, {"d_model": 64}), ExitCode.MODEL, "WeightsDoNotFit", "weights are of another shape (",
    ),
    "weights by other names": (
        lambda s, f: unlike_t5(s, f, {}, prefix="module."), ExitCode.MODEL, "WeightsDoNotFit", "weights are missing (",
    ),
    "torn weights": (torn_weights, ExitCode.MODEL, "ModelUnreadable", "cannot be loaded"),
    "weights that cannot be read": (unreadable_weights, ExitCode.MODEL, "ModelUnreadable", "Is a directory"),
    "model with code of its own": (own_code, ExitCode.MODEL, "ModelNeedsCode", "which is never done"),
    "model that cannot compute activations again": (
        checkpointed_albert, ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.activation_checkpointing: models of type albert cannot compute activations again",
    ),
    "output that cannot be written": (
        lambda s, f: s.update(output={"uri": "file:///proc/out"}), ExitCode.OUTPUT, "OutputFailed", "/proc/out",
    ),
    "loss not finite": (
        lambda s, f: s["training"].update(NO_FINITE_LOSS),
        ExitCode.LOSS_NOT_FINITE, "LossNotFinite", "at step 1; the last finite one was seen at step 0",
    ),
}  # fmt: skip


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
