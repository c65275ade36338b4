"""What a run leaves behind: a model that knows its labels, checkpoints, history and a final report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import transformers
from tests.trainer.tiny import LONGEST, VOCABULARY, Settings, Train, make_tokenizer, texts

from finetune_api.status import Progress
from finetune_trainer.checkpoints.manifest import Manifest, verify


def classify(folder: Path, sentence: str) -> str:
    pipeline = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    return str(pipeline(sentence)[0]["label"])


def test_a_run_trains_evaluates_saves_and_exports(settings: Settings, train: Train, tmp_path: Path) -> None:
    ended = train(settings)

    final = ended.final
    assert (ended.code, final.exit_code, final.failure, final.resumed_from_step) == (0, 0, None, 0)
    assert final.progress == Progress(
        step=24, total_steps=24, epoch="2.0", percent=100, eta_seconds=0,
        samples_per_second=final.progress.samples_per_second if final.progress else None,
    )  # fmt: skip
    assert [(entry.step, entry.epoch) for entry in final.evaluations] == [(12, "1.0"), (24, "2.0")]
    assert [metric.name for metric in final.metrics] == [
        "loss", "grad_norm", "learning_rate", "eval_loss", "eval_accuracy",
    ]  # fmt: skip
    assert [metric.name for metric in final.evaluations[-1].metrics] == ["eval_loss", "eval_accuracy"]

    folder = tmp_path / "out" / "checkpoints"
    assert [checkpoint.uri for checkpoint in final.checkpoints] == [
        f"file://{folder}/step-000012",
        f"file://{folder}/step-000024",
    ]
    run = Manifest.model_validate_json((folder / "step-000024" / "manifest.json").read_text()).run
    for told in final.checkpoints:
        checkpoint, problem = verify(folder / f"step-{told.step:06d}", run)
        assert checkpoint
        assert not problem
        assert (checkpoint.digest, checkpoint.size_bytes, checkpoint.time) == (told.digest, told.size_bytes, told.time)
    assert sorted(path.name for path in folder.iterdir()) == ["step-000012", "step-000024"]

    provenance = final.provenance
    assert provenance
    assert provenance.model_revision
    assert provenance.model_revision.startswith("sha256:")
    assert set(provenance.versions) >= {"python", "torch", "transformers", "datasets", "evaluate", "finetune-operator"}

    assert final.model
    assert final.model.uri == f"file://{tmp_path}/out/model"
    exported = sorted(path.name for path in (tmp_path / "out" / "model").iterdir())
    assert exported == [
        "config.json",
        "eval_results.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


@pytest.mark.slow
def test_the_exported_model_has_learnt_and_knows_the_names_of_its_labels(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    settings["training"]["epochs"] = 20
    settings["evaluation"] = {"metrics": ["accuracy"]}

    final = train(settings).final

    assert float(final.evaluations[-1].metrics[-1].value) > 0.9
    model = tmp_path / "out" / "model"
    assert transformers.AutoModelForSequenceClassification.from_pretrained(model).config.id2label == {
        0: "bad",
        1: "good",
    }
    assert [classify(model, f"the film was {word}") for word in ("awful", "lovely")] == ["bad", "good"]


def test_a_finished_run_only_exports_again(settings: Settings, train: Train, tmp_path: Path) -> None:
    first = train(settings)
    history = (tmp_path / "out" / "history.jsonl").read_text()
    (tmp_path / "out" / "model" / "model.safetensors").unlink()

    again = train(settings)

    assert again.code == 0
    assert again.final.model == first.final.model
    assert again.final.checkpoints == first.final.checkpoints
    assert again.final.evaluations == first.final.evaluations
    assert again.final.progress == Progress(step=24, total_steps=24, epoch="2.0", percent=100, eta_seconds=0)
    assert again.final.resumed_from_step == 24
    assert (tmp_path / "out" / "history.jsonl").read_text() == history
    logs = [Path(str(ended.final.log).removeprefix("file://")) for ended in (first, again)]
    assert sorted({*logs}) == sorted((tmp_path / "out" / "logs").iterdir())
    assert "step 24, epoch 2.0: eval_loss" in logs[0].read_text()
    assert logs[1].read_text().splitlines()[-1].startswith("checkpoints: ")


def test_the_log_of_a_run_that_fails_names_the_cause_beside_its_output(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    settings["dataset"]["columns"] = {"text": "txt"}

    ended = train(settings)

    [log] = (tmp_path / "out" / "logs").iterdir()
    assert (ended.code, ended.final.log) == (11, f"file://{log}")
    assert ended.final.failure
    assert f"error: {ended.final.failure.message}\nhint: {ended.final.failure.hint}\n" in log.read_text()


def test_the_best_checkpoint_is_kept_and_exported(settings: Settings, train: Train, tmp_path: Path) -> None:
    settings["evaluation"] = {"strategy": "steps", "steps": 3, "bestMetric": "loss"}
    settings["checkpoints"] = {"strategy": "steps", "steps": 3, "keep": 1}
    # The evaluation rows have each other's labels: the more is learnt, the worse.
    rows, opposite = texts(96), texts(30, seed=1)
    opposite["label"] = ["bad" if label == "good" else "good" for label in opposite["label"]]
    splits = {"train": datasets.Dataset.from_dict(rows), "test": datasets.Dataset.from_dict(opposite)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "rows")
    settings["dataset"]["source"] = f"file://{tmp_path}/rows"

    final = train(settings).final

    evaluations = [json.loads(line) for line in (tmp_path / "out" / "history.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["metrics"]["eval_loss"] for line in evaluations if line["kind"] == "evaluation"}
    best = min(losses, key=lambda step: (losses[step], step))
    assert best != 24, "the last step must not be the best"
    assert final.best_checkpoint
    assert final.best_checkpoint.step == best
    assert [checkpoint.step for checkpoint in final.checkpoints] == [best, 24]
    weights = "model.safetensors"
    exported = (tmp_path / "out" / "model" / weights).read_bytes()
    assert exported == (tmp_path / "out" / "checkpoints" / f"step-{best:06d}" / weights).read_bytes()


def test_fractions_of_an_epoch_and_accumulation_count_right(settings: Settings, train: Train) -> None:
    settings["training"] |= {"epochs": 1.5, "arguments": {"gradient_accumulation_steps": 5}}
    settings["dataset"]["train"] = {"split": "train[:50]"}

    final = train(settings).final

    # 50 rows are 7 batches, which are 2 steps an epoch.
    assert final.progress
    assert (final.progress.step, final.progress.total_steps, final.progress.percent) == (3, 3, 100)
    assert [checkpoint.step for checkpoint in final.checkpoints] == [2, 3]


def _csv(rows: datasets.Dataset, folder: Path) -> Path:
    rows.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def _jsonl(rows: datasets.Dataset, folder: Path) -> Path:
    rows.to_json(folder / "rows.jsonl")
    return folder / "rows.jsonl"


def _parquet(rows: datasets.Dataset, folder: Path) -> Path:
    rows.to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def _saved(rows: datasets.Dataset, folder: Path) -> Path:
    rows.save_to_disk(folder / "saved")
    return folder / "saved"


def _saved_splits(rows: datasets.Dataset, folder: Path) -> Path:
    datasets.DatasetDict({"train": rows, "other": rows}).save_to_disk(folder / "splits")
    return folder / "splits"


@pytest.mark.parametrize("write", [_csv, _jsonl, _parquet, _saved, _saved_splits])
def test_every_kind_of_file_is_read(
    settings: Settings, train: Train, tmp_path: Path, write: Callable[[datasets.Dataset, Path], Path]
) -> None:
    path = write(datasets.Dataset.from_dict(texts(20)), tmp_path)
    settings["dataset"] = {
        "source": f"pvc://claim/{path.name}",
        "train": {"split": "train[:50%]"},
        "evaluation": {"split": "train[10:]", "samples": 5},
    }
    settings["training"]["epochs"] = 1

    ended = train(settings, "--volume", f"claim={tmp_path}")

    assert (ended.code, ended.final.progress and ended.final.progress.step) == (0, 2)


def test_long_texts_are_cut_to_what_a_model_takes_that_counts_positions_from_its_padding(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    config = transformers.RobertaConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=LONGEST + 2, pad_token_id=1, type_vocab_size=1,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(tmp_path / "roberta")
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 10**30  # as in many a repository, where nobody set it
    tokenizer.save_pretrained(tmp_path / "roberta")
    rows = texts(8)
    rows["text"] = [text + " the" * 2 * LONGEST for text in rows["text"]]
    datasets.Dataset.from_dict(rows).to_json(tmp_path / "long.jsonl")
    settings["model"]["source"] = f"file://{tmp_path}/roberta"
    settings["dataset"] = {"source": f"file://{tmp_path}/long.jsonl", "train": {"split": "train"}}
    settings["evaluation"] = {}
    settings["training"]["epochs"] = 1

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)


def test_nothing_is_written_beside_the_data(settings: Settings, train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    datasets.Dataset.from_dict(texts(40)).save_to_disk(folder)
    there = sorted(folder.rglob("*"))
    settings["dataset"] = {
        "source": f"file://{folder}",
        "train": {"split": "train", "samples": 16},
        "evaluation": {"split": "train", "samples": 8},
    }
    settings["training"]["epochs"] = 1

    ended = train(settings)

    assert (ended.code, sorted(folder.rglob("*"))) == (0, there)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (datasets.ClassLabel(names=["no", "yes", "never used"]), ["no", "yes", "never used"]),
        ([10, 9], ["9", "10"]),
        ([True, False], ["False", "True"]),
        (["x y", "b"], ["b", "x y"]),
    ],
)
def test_label_names_come_from_the_data(
    settings: Settings, train: Train, tmp_path: Path, labels: Any, names: list[str]
) -> None:
    rows = datasets.Dataset.from_dict({"sentence": ["a film", "the book"] * 4, "kind": [0, 1] * 4})
    if isinstance(labels, datasets.ClassLabel):
        rows = rows.cast_column("kind", labels)
    else:
        rows = rows.remove_columns("kind").add_column("kind", labels * 4)
    rows.save_to_disk(tmp_path / "rows")
    settings["dataset"] = {
        "source": f"file://{tmp_path}/rows",
        "train": {"split": "train"},
        "evaluation": {"split": "train"},
        "columns": {"text": "sentence", "label": "kind"},
    }
    settings["evaluation"] = {"metrics": ["f1", "precision", "recall", "matthews_correlation"]}
    settings["training"]["epochs"] = 1

    ended = train(settings)

    assert ended.code == 0
    config = json.loads((tmp_path / "out" / "model" / "config.json").read_text())
    assert list(config["id2label"].values()) == names
    assert [metric.name for metric in ended.final.evaluations[-1].metrics] == [
        "eval_loss", "eval_f1", "eval_precision", "eval_recall", "eval_matthews_correlation",
    ]  # fmt: skip


@pytest.mark.slow
def test_pairs_are_distinguished_by_the_second_text(settings: Settings, train: Train, tmp_path: Path) -> None:
    columns = texts(96)
    pairs = {"first": ["the film"] * 96, "second": columns["text"], "label": columns["label"]}
    datasets.Dataset.from_dict(pairs).to_parquet(tmp_path / "pairs.parquet")
    settings["dataset"] = {
        "source": f"file://{tmp_path}/pairs.parquet",
        "train": {"split": "train"},
        "evaluation": {"split": "train[:30]"},
        "columns": {"text": "first", "textPair": "second"},
    }
    settings["preprocessing"] = {"maxLength": 16, "padding": "max_length"}
    settings["training"]["epochs"] = 10

    final = train(settings).final

    assert final.best_checkpoint
    assert float(final.best_checkpoint.value) > 0.9


def test_the_drawn_rows_are_those_of_the_tutorial(data: Path) -> None:
    from finetune_api.sources import Dataset
    from finetune_trainer.data.load_rows import load_rows

    source = f"file://{data}/train.csv"
    rows, _ = load_rows(Dataset(source=source, train={"split": "train", "samples": 10, "seed": 7}), {})

    whole = datasets.load_dataset("csv", data_files=str(data / "train.csv"), split="train")
    assert rows.dataset[:] == whole.shuffle(seed=7).select(range(10))[:]
    assert [whole[int(position) - 1] for position in rows.positions] == list(rows.dataset)


def test_half_precision_weights_are_trained_in_full(
    settings: Settings, train: Train, model: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    transformers.AutoModel.from_pretrained(model).half().save_pretrained(half)
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(half)
    settings["model"] = {"source": f"file://{half}"}
    settings["training"]["epochs"] = 0.1

    ended = train(settings)

    assert ended.code == 0
    assert json.loads((tmp_path / "out" / "model" / "config.json").read_text())["dtype"] == "float32"


def test_a_language_model_without_a_padding_token_pads_with_its_end_of_text(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    config = transformers.GPT2Config(
        vocab_size=len(VOCABULARY), n_embd=16, n_layer=1, n_head=2, n_positions=32, bos_token_id=3, eos_token_id=3
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")
    make_tokenizer(eos_token="[SEP]", unk_token="[UNK]").save_pretrained(tmp_path / "gpt")
    settings["model"] = {"source": f"file://{tmp_path}/gpt"}
    settings["training"]["epochs"] = 1

    ended = train(settings)

    assert ended.code == 0
    assert "has no padding token; its end-of-text token '[SEP]' pads" in ended.said
    assert json.loads((tmp_path / "out" / "model" / "config.json").read_text())["pad_token_id"] == 3


def test_a_head_of_another_shape_is_replaced(settings: Settings, train: Train, model: Path, tmp_path: Path) -> None:
    five = transformers.AutoModelForSequenceClassification.from_pretrained(model, num_labels=5)
    five.save_pretrained(tmp_path / "five")
    make_tokenizer().save_pretrained(tmp_path / "five")
    settings["model"] = {"source": f"file://{tmp_path}/five"}
    settings["training"]["epochs"] = 0.1

    assert train(settings).code == 0
    config = json.loads((tmp_path / "out" / "model" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}


def test_a_run_without_evaluation_rows_exports_its_last_step(settings: Settings, train: Train) -> None:
    del settings["dataset"]["evaluation"], settings["evaluation"]

    final = train(settings).final

    assert (final.exit_code, final.evaluations, final.best_checkpoint) == (0, [], None)
    assert final.model is not None
