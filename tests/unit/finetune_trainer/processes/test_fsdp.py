"""How a model is spread over processes."""

from typing import Any

import pytest
import transformers

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.processes.fsdp import sharding_units

TINY = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


@pytest.mark.parametrize(
    ("model", "units"),
    [
        pytest.param(
            lambda: transformers.BertForSequenceClassification(transformers.BertConfig(**TINY)),
            ["BertLayer"],
            id="an encoder, but for the module that holds its embeddings",
        ),
        pytest.param(
            lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**TINY)),
            ["LlamaDecoderLayer"],
            id="a decoder",
        ),
        pytest.param(
            lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**TINY, tie_word_embeddings=True)),
            ["LlamaDecoderLayer"],
            id="a decoder with its embeddings at input and output",
        ),
    ],
)
def test_layers_are_gathered_one_at_a_time(model: Any, units: list[str]) -> None:
    assert sharding_units(model()) == {"transformer_cls_names_to_wrap": units}


def test_embeddings_that_encoder_and_decoder_share_are_refused() -> None:
    config = transformers.T5Config(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)

    with pytest.raises(TrainerError) as caught:
        sharding_units(transformers.T5ForConditionalGeneration(config))

    assert (caught.value.reason, caught.value.hint) == ("ShardingNotPossible", "set training.parallelism to ddp")
