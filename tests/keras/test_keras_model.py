"""The classifier of KerasHub is the transformers model that it was made from, before and after training."""

from collections.abc import Callable

import pytest
import torch
import transformers

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError

pytestmark = pytest.mark.keras

_SHAPE = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 40, "initializer_range": 0.2, "num_labels": 3,
}  # fmt: skip


def bert() -> transformers.PreTrainedModel:
    return transformers.BertForSequenceClassification(transformers.BertConfig(**_SHAPE))


def unusual_bert() -> transformers.PreTrainedModel:
    config = transformers.BertConfig(**_SHAPE, type_vocab_size=3, hidden_act="gelu_new", layer_norm_eps=1e-3)
    return transformers.BertForSequenceClassification(config)


def roberta() -> transformers.PreTrainedModel:
    return transformers.RobertaForSequenceClassification(transformers.RobertaConfig(**_SHAPE))


def xlm_roberta() -> transformers.PreTrainedModel:
    return transformers.XLMRobertaForSequenceClassification(transformers.XLMRobertaConfig(**_SHAPE))


def distilbert() -> transformers.PreTrainedModel:
    config = transformers.DistilBertConfig(
        vocab_size=60, dim=32, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.2, num_labels=3
    )
    return transformers.DistilBertForSequenceClassification(config)


def albert() -> transformers.PreTrainedModel:
    config = transformers.AlbertConfig(**_SHAPE, embedding_size=16, num_hidden_groups=2)
    return transformers.AlbertForSequenceClassification(config)


@pytest.mark.parametrize("make", [bert, unusual_bert, roberta, xlm_roberta, distilbert, albert])
def test_keras_and_transformers_answer_alike_before_and_after_the_weights_change(
    make: Callable[[], transformers.PreTrainedModel],
) -> None:
    from finetune_trainer.engines.keras.model import KerasTwin

    transformers.set_seed(0)
    model = make().eval()
    tokens, mask = torch.randint(5, 60, (3, 9)), torch.ones(3, 9, dtype=torch.long)
    tokens[1, 5:], mask[1, 5:] = model.config.pad_token_id, 0
    batch = {"input_ids": tokens, "attention_mask": mask}
    with torch.no_grad():
        pretrained = model(**batch).logits

        twin = KerasTwin(model, "float32")
        taken = twin.classifier(twin.inputs(batch), training=False)
        for variable in twin.classifier.trainable_variables:
            variable.assign(variable.value + 0.05 * torch.randn(variable.shape))
        trained = twin.classifier(twin.inputs(batch), training=False)
        given = twin.give()(**batch).logits

    torch.testing.assert_close(taken, pretrained, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(given, trained, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(given, pretrained, atol=1e-2)


def test_dropout_is_that_of_the_transformers_model() -> None:
    import keras

    from finetune_trainer.engines.keras.model import KerasTwin

    config = transformers.BertConfig(
        **_SHAPE, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.3, classifier_dropout=0.2
    )
    classifier = KerasTwin(transformers.BertForSequenceClassification(config), "float32").classifier

    layers = [layer for layer in classifier._flatten_layers() if isinstance(layer, keras.layers.Dropout)]
    # Those of attention have no name of their own.
    rates = {"attention" if layer.name.startswith("dropout") else layer.name: layer.rate for layer in layers}
    assert rates == {
        "attention": 0.3,
        "embeddings_dropout": 0.0,
        "self_attention_dropout": 0.0,
        "feedforward_dropout": 0.0,
        "classifier_dropout": 0.2,
    }


def test_vectors_are_not_decayed() -> None:
    from finetune_trainer.engines.keras.model import KerasTwin

    model = bert()
    twin = KerasTwin(model, "float32")

    left_out = {id(variable) for variable in twin.not_decayed()}
    decayed = [variable for variable in twin.classifier.trainable_variables if id(variable) not in left_out]
    assert len(decayed) == sum(weight.dim() > 1 for weight in model.parameters())


def test_a_model_that_kerashub_does_not_know_is_refused() -> None:
    from finetune_trainer.engines.keras.model import KerasTwin

    config = transformers.ElectraConfig(vocab_size=60, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(TrainerError) as refused:
        KerasTwin(transformers.ElectraForSequenceClassification(config), "float32")

    assert (refused.value.exit_code, refused.value.reason) == (ExitCode.MODEL, "ModelNotSupported")
    assert refused.value.hint == (
        "engine keras takes models of type albert, bert, distilbert, roberta, xlm-roberta; use engine 'trainer' or 'pytorch'"
    )
