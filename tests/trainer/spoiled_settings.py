"""Ways to spoil the settings of a run, and its model and rows."""

import json
from collections.abc import Callable
from pathlib import Path

import datasets
import safetensors.torch
import tokenizers
import transformers
from tests.trainer.tiny import VOCABULARY, Settings, make_tokenizer, texts
from tests.trainer.tiny_language import save_t5

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
