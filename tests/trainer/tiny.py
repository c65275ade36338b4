"""Tiny models and data, made on the spot: texts whose words tell their label."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tokenizers
import transformers

from finetune_api.report import FinalReport

WORDS = {"good": ["fine", "great", "lovely"], "bad": ["poor", "awful", "dull"]}
FILLERS = ["the", "film", "book", "was", "a", "day", "and", "then"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS["good"], *WORDS["bad"], *FILLERS]
LONGEST = 32

Settings = dict[str, Any]


def texts(count: int, seed: int = 0) -> dict[str, list[str]]:
    """Columns text and label; two thirds of the rows are good."""
    chance = random.Random(seed)
    columns: dict[str, list[str]] = {"text": [], "label": []}
    for number in range(count):
        label = "bad" if number % 3 == 0 else "good"
        words = chance.choices(FILLERS, k=chance.randrange(1, 5))
        words.insert(chance.randrange(len(words)), chance.choice(WORDS[label]))
        columns["text"].append(" ".join(words))
        columns["label"].append(label)
    return columns


def make_tokenizer(**special: str) -> transformers.PreTrainedTokenizerFast:
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = special or {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LONGEST, **names)


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    final: FinalReport
    said: str
    """What it told people on stderr."""


Train = Callable[..., Ended]
