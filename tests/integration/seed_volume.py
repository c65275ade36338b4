"""Run in a pod: put a tiny model and text that it can learn into the folder of the first argument."""

import csv
import random
import sys
from pathlib import Path

sys.modules["scipy"] = None  # type: ignore[assignment] # transformers would import it for what nobody asks for here

import torch  # noqa: E402
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast  # noqa: E402

WORDS = {"good": ["great", "fine", "lovely", "superb"], "bad": ["awful", "poor", "dreadful", "broken"]}
FILLER = ["the", "a", "film", "meal", "hotel", "was", "is", "and", "with", "seat", "room", "plot"]


def main(folder: Path) -> None:
    torch.manual_seed(7)
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
    BertForSequenceClassification(config).save_pretrained(model)
    chance = random.Random(7)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    write(data / "train.csv", chance, 128)
    write(data / "test.csv", chance, 32)


def write(path: Path, chance: random.Random, rows: int) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for number in range(rows):
            label = "good" if number % 2 else "bad"
            words = [*chance.choices(FILLER, k=3), chance.choice(WORDS[label])]
            chance.shuffle(words)
            table.writerow([" ".join(words), label])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
