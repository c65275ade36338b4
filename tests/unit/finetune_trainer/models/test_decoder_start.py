"""The token that a decoder begins with is known before the first step."""

from typing import Any

import pytest
import transformers
from tests.trainer.tiny_language import byte_tokenizer

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.models.special_tokens import check_special_tokens

SIZES: dict[str, Any] = {
    "vocab_size": 300, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "max_position_embeddings": 16,
}  # fmt: skip
T5: dict[str, Any] = {"vocab_size": 300, "d_model": 8, "d_ff": 8, "d_kv": 4, "num_layers": 1, "num_heads": 2}


def bart(start: int | None) -> Any:
    return transformers.BartForConditionalGeneration(transformers.BartConfig(**SIZES, decoder_start_token_id=start))


def t5(start: int | None, **fields: Any) -> Any:
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**T5, decoder_start_token_id=start, **fields))


def mbart(pad: int | None) -> Any:
    """It begins with the last token of a text, and has no decoder_start_token_id."""
    return transformers.MBartForConditionalGeneration(transformers.MBartConfig(**SIZES, pad_token_id=pad))


@pytest.mark.parametrize("make", [bart, t5])
def test_a_configuration_that_names_no_token_to_begin_with_is_refused(make: Any) -> None:
    with pytest.raises(TrainerError) as caught:
        check_special_tokens(make(None), byte_tokenizer(None), "it")

    assert caught.value.reason == "ModelConfigWrong"
    assert caught.value.message == (
        "it: its config.json has no decoder_start_token_id, the token with which each text begins that it writes"
    )


@pytest.mark.parametrize(
    "make", [lambda: mbart(None), lambda: t5(0, pad_token_id=None), lambda: t5(None, pad_token_id=None)]
)
def test_a_padding_token_that_is_missing_is_not_told_as_the_one_to_begin_with(make: Any) -> None:
    with pytest.raises(TrainerError) as caught:
        check_special_tokens(make(), byte_tokenizer(None), "it")

    assert caught.value.reason == "ModelConfigWrong"
    assert caught.value.message == (
        "it: its config.json has no pad_token_id, the token that fills up texts where a decoder reads them"
    )
    assert caught.value.hint == "set it there to the id of the padding token of its tokenizer"


@pytest.mark.parametrize("pad", [0, 1])
def test_a_decoder_that_begins_with_the_last_token_of_a_text_needs_no_token_of_its_own(pad: int) -> None:
    check_special_tokens(mbart(pad), byte_tokenizer(None), "it")


@pytest.mark.parametrize("make", [bart, t5])
def test_one_that_names_it_is_taken(make: Any) -> None:
    check_special_tokens(make(0), byte_tokenizer(None), "it")


def test_an_encoder_alone_needs_none() -> None:
    config = transformers.T5Config(**T5, decoder_start_token_id=None)

    check_special_tokens(transformers.T5ForTokenClassification(config), byte_tokenizer(None), "it")
