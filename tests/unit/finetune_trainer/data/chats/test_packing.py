"""Texts in one sequence do not see each other: every model type that we pack for gives the logits it gives for each alone."""

import dataclasses
import inspect
from typing import Any

import datasets
import pytest
import torch
import transformers
from tests.trainer.tiny_language import LONGEST, word_tokenizer

from finetune_api.sources import Preprocessing
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.chats.packing import KEEPS_APART, collator, pack, packs
from finetune_trainer.data.examples import Examples

# Each configuration takes those of its own names.
SMALL = {
    "vocab_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": LONGEST,
    "n_positions": LONGEST, "hidden_size": 16, "n_embd": 16, "num_hidden_layers": 2, "n_layer": 2,
    "num_attention_heads": 2, "n_head": 2, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32, "n_inner": 32,
    "rotary_dim": 4, "sliding_window": 4, "num_experts": 4, "num_local_experts": 4, "moe_intermediate_size": 16,
    "num_experts_per_tok": 2, "use_cache": False,
}  # fmt: skip
TEXTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18], [19]]


def examples() -> Examples:
    rows = datasets.Dataset.from_dict({"input_ids": TEXTS, "labels": [[-100, *text[1:]] for text in TEXTS]})
    return Examples(rows, [len(text) for text in TEXTS])


def tiny(model_type: str) -> Any:
    kind = transformers.CONFIG_MAPPING[model_type]
    names = {field.name for field in dataclasses.fields(kind)} | set(inspect.signature(kind.__init__).parameters)
    settings = {name: value for name, value in SMALL.items() if name in {*names, *kind.attribute_map}}
    transformers.set_seed(0)
    return transformers.AutoModelForCausalLM.from_config(kind(**settings)).eval()


@pytest.mark.parametrize("model_type", sorted(KEEPS_APART))
def test_a_packed_text_has_the_logits_that_it_has_alone(model_type: str) -> None:
    model = tiny(model_type)
    packed = pack(examples(), longest=8)
    batch = collator(word_tokenizer(), packed=True, multiple=8)(list(packed.dataset))

    with torch.no_grad():
        together = model(**{name: batch[name] for name in ("input_ids", "position_ids")}).logits
        alone = {text[0]: model(input_ids=torch.tensor([text])).logits[0] for text in TEXTS}

    starts = (batch["position_ids"] == 0) & (batch["input_ids"] != 0)
    found = {}
    for row, column in starts.nonzero().tolist():
        first = int(batch["input_ids"][row, column])
        found[first] = together[row, column : column + len(alone[first])]
    assert found.keys() == alone.keys()
    for first, logits in alone.items():
        torch.testing.assert_close(found[first], logits, rtol=1e-4, atol=1e-5)


def test_texts_are_packed_whole_with_their_labels_and_positions() -> None:
    packed = pack(examples(), longest=8)

    batch = collator(word_tokenizer(), packed=True, multiple=None)(list(packed.dataset))

    assert packed.lengths == [8, 7]
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6, 7, 8, 9, 10, 11, 19], [12, 13, 14, 15, 16, 17, 18, 0]],
        "labels": [[-100, 6, 7, 8, 9, 10, 11, -100], [-100, 13, 14, 15, -100, 17, 18, -100]],
        "position_ids": [[0, 1, 2, 3, 4, 5, 6, 0], [0, 1, 2, 3, 0, 1, 2, 0]],
    }


def test_texts_that_are_not_packed_are_padded() -> None:
    batch = collator(word_tokenizer(), packed=False, multiple=8)(list(examples().dataset.select([1, 2])))

    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[12, 13, 14, 15, 0, 0, 0, 0], [16, 17, 18, 0, 0, 0, 0, 0]],
        "labels": [[-100, 13, 14, 15, *[-100] * 4], [-100, 17, 18, *[-100] * 5]],
        "attention_mask": [[1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]],
    }


@pytest.mark.parametrize(
    ("asked", "model_type", "packed"),
    [
        (None, "llama", True),
        (True, "llama", True),
        (False, "llama", False),
        (None, "opt", False),
        (False, "opt", False),
    ],
)
def test_packing_is_done_where_texts_are_kept_apart(asked: bool | None, model_type: str, packed: bool) -> None:
    assert packs(Preprocessing(packing=asked), model_type) is packed


def test_packing_is_refused_where_texts_would_see_each_other() -> None:
    with pytest.raises(TrainerError, match="in a model of type bloom the texts of a sequence would see each other"):
        packs(Preprocessing(packing=True), "bloom")
