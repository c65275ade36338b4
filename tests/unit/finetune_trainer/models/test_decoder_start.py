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


def t5(start: int | None) -> Any:
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**T5, decoder_start_token_id=start))


@pytest.mark.parametrize("make", [bart, t5])
def test_a_configuration_that_names_no_token_to_begin_with_is_refused(make: Any) -> None:
    with pytest.raises(TrainerError) as caught:
        check_special_tokens(make(None), byte_tokenizer(None), "it")

    assert caught.value.reason == "ModelConfigWrong"
    assert caught.value.message == (
        "it: its config.json has no decoder_start_token_id, the token with which each text begins that it writes"
    )


@pytest.mark.parametrize("make", [bart, t5])
def test_one_that_names_it_is_taken(make: Any) -> None:
    check_special_tokens(make(0), byte_tokenizer(None), "it")


def test_an_encoder_alone_needs_none() -> None:
    config = transformers.T5Config(**T5, decoder_start_token_id=None)

    check_special_tokens(transformers.T5ForTokenClassification(config), byte_tokenizer(None), "it")
