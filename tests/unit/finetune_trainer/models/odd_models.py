"""What the tests of odd models have in common."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
import transformers

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.models.loading import load_model
from finetune_trainer.models.pretrained import Pretrained, find_pretrained

LAYER = "model.layers.0.mlp.up_proj.weight"


def find(folder: Path) -> Pretrained:
    return find_pretrained(ModelSource(source=f"file://{folder}"), {})


def load(folder: Path, *, empty: bool = False) -> None:
    """Make a language model of what is found; of its shapes alone, if it is to be empty."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="b")
    settings = ModelSource(source=f"file://{folder}")
    load_model(transformers.AutoModelForCausalLM, replace(find(folder), empty=empty), settings, tokenizer)


def refused(folder: Path, do: Callable[[Path], object] = find) -> tuple[Reason, str, str]:
    """Reason, message and hint; the source is left out of the message, which begins with it."""
    with pytest.raises(TrainerError) as caught:
        do(folder)
    return caught.value.reason, caught.value.message.removeprefix(f"file://{folder}"), caught.value.hint or ""
