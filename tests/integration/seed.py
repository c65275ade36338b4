"""A tiny model and text that it can learn, and how a pod puts them on a volume: it only unpacks them, without torch."""

import base64
import csv
import io
import random
import tarfile
import tempfile
from functools import cache
from pathlib import Path

WORDS = {"good": ["great", "fine", "lovely", "superb"], "bad": ["awful", "poor", "dreadful", "broken"]}
FILLER = ["the", "a", "film", "meal", "hotel", "was", "is", "and", "with", "seat", "room", "plot"]


def command(folder: str) -> list[str]:
    """Return a container's command that puts `model/` and `data/` into a folder."""
    unpack = "import base64, io, sys, tarfile; tarfile.open(fileobj=io.BytesIO(base64.urlsafe_b64decode(sys.argv[2]))).extractall(sys.argv[1], filter='data')"
    return ["python", "-c", unpack, folder, _packed()]


@cache
def _packed() -> str:
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed, mode="w:gz") as archive:
        _write(Path(folder))
        for each in sorted(Path(folder).iterdir()):
            archive.add(each, each.name)
    return base64.urlsafe_b64encode(packed.getvalue()).decode()


def _write(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLER, *WORDS["good"], *WORDS["bad"]]
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertTokenizerFast.from_pretrained(model).save_pretrained(model)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.1,
        # Processes draw what they drop each for itself: without it, many learn exactly what one does.
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        BertForSequenceClassification(config).save_pretrained(model)
    chance = random.Random(7)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    _write_table(data / "train.csv", chance, 128)
    _write_table(data / "test.csv", chance, 32)


def _write_table(path: Path, chance: random.Random, rows: int) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for number in range(rows):
            label = "good" if number % 2 else "bad"
            words = [*chance.choices(FILLER, k=3), chance.choice(WORDS[label])]
            chance.shuffle(words)
            table.writerow([" ".join(words), label])
