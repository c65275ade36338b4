"""What a configuration says of embeddings that are one weight, or two."""

from typing import Any

import pytest
import torch
import transformers

from finetune_trainer.models.tied import say_untied


def llama(tie: bool) -> Any:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
            tie_word_embeddings=tie,
        )
    )  # fmt: skip


@pytest.mark.parametrize(("one", "said"), [(True, (False, True)), (False, (True, False))])
def test_a_configuration_says_what_the_weights_are(one: bool, said: tuple[bool, bool]) -> None:
    model = llama(True)
    if not one:
        model.lm_head.weight = torch.nn.Parameter(torch.ones(16, 8))

    found = say_untied(model, tied=True)

    assert (found, model.config.tie_word_embeddings) == said


def test_two_that_are_called_two_are_left() -> None:
    model = llama(False)

    assert (say_untied(model, tied=False), model.config.tie_word_embeddings) == (False, False)


def test_a_model_that_has_no_embeddings_of_tokens_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_here(model: Any) -> None:
        raise NotImplementedError

    model = llama(True)
    monkeypatch.setattr(transformers.LlamaForCausalLM, "get_input_embeddings", not_here)

    assert (say_untied(model, tied=True), model.config.tie_word_embeddings) == (False, True)


def test_an_output_layer_that_is_the_embeddings_of_the_decoder_is_one_with_them() -> None:
    stack = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    stack |= {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 4}
    model = transformers.T5GemmaForConditionalGeneration(
        transformers.T5GemmaConfig(encoder=stack, decoder=stack, vocab_size=16, tie_word_embeddings=True)
    )

    assert (say_untied(model, tied=True), model.config.tie_word_embeddings) == (False, True)


def test_an_architecture_that_ties_nothing_is_left_with_what_its_configuration_says() -> None:
    model = transformers.CpmAntForCausalLM(
        transformers.CpmAntConfig(
            vocab_size=16, hidden_size=8, num_attention_heads=2, dim_head=4, dim_ff=8, num_hidden_layers=1,
            tie_word_embeddings=True,
        )
    )  # fmt: skip

    assert (say_untied(model, tied=True), model.config.tie_word_embeddings) == (False, True)
