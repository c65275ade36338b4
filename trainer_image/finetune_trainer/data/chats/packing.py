"""Several texts in one sequence, none of which sees another."""

from functools import partial
from typing import Any, Final

import torch
from transformers import PreTrainedTokenizerBase as Tokenizer
from trl.data_utils import pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from finetune_api.sources import Preprocessing
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.data.examples import Collate, Examples

KEEPS_APART: Final = frozenset({
    "cohere", "cohere2", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode",
    "gpt_neox", "gptj", "granite", "helium", "llama", "ministral", "ministral3", "mistral", "mixtral", "modernbert-decoder",
    "nemotron", "olmo", "olmo2", "olmo3", "olmoe", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3",
    "stablelm", "starcoder2",
})  # fmt: skip
"""Model types where positions that begin again at 0 are enough: transformers then masks what lies before. Each is tested.

Others read on across texts without a word of warning: recurrent ones by their state, and attention that counts positions
in its own way (Falcon, OPT, BLOOM, …) by what it lets through.
"""


def packs(settings: Preprocessing, model_type: str) -> bool:
    """Whether to pack: where it is asked for, and by default where texts are kept apart.

    Raises:
        TrainerError: BAD_CONFIGURATION when it is asked for and the texts would see each other.
    """
    if settings.packing and model_type not in KEEPS_APART:
        raise bad_configuration(
            f"preprocessing.packing: in a model of type {model_type} the texts of a sequence would see each other",
            "set it to false, or leave it out",
        )
    return settings.packing is not False and model_type in KEEPS_APART


def pack(examples: Examples, longest: int) -> Examples:
    """Sequences of at most `longest` tokens: each text whole, in the fullest sequence that has room for it.

    Rows have input_ids, labels and, for the collator, seq_lengths.
    """
    packed = pack_dataset(examples.dataset.select_columns(["input_ids", "labels"]), longest, strategy="bfd")
    return Examples(packed, [sum(lengths) for lengths in packed["seq_lengths"]])


def collator(tokenizer: Tokenizer, packed: bool, multiple: int | None) -> Collate:
    """Pads on the right, with labels of -100; to a multiple of `multiple` tokens."""
    pad = DataCollatorForLanguageModeling(
        pad_token_id=tokenizer.pad_token_id, return_position_ids=packed, pad_to_multiple_of=multiple
    )
    return partial(_collate, pad, packed)


def _collate(pad: Any, packed: bool, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    batch: dict[str, torch.Tensor] = pad(rows)
    if packed:
        # With a mask for padding, transformers would not separate texts by their positions. Padding needs none:
        # at position 0 each of its tokens is a text of its own, and its label is -100.
        del batch["attention_mask"]
    return batch
