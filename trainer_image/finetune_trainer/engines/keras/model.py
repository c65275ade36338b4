"""A KerasHub classifier beside the transformers model that it is made from: same weights, same answers.

KerasHub's own converters know which weight goes where. They get views of the transformers model's memory, so that
the way back, for checkpoints that `from_pretrained` loads, is to write into the same views.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import keras
import keras_hub
import numpy as np
import numpy.typing as npt
import torch

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import model_error

Hook = Callable[[npt.NDArray[Any], list[int]], npt.NDArray[Any]]
"""From a weight of transformers to one of Keras' shape."""


@dataclass(frozen=True)
class _Architecture:
    classifier: str
    """Class in keras_hub.models."""
    converter: str
    """Module of KerasHub that reads checkpoints of transformers."""
    head: dict[str, str]
    """Layers of the classifier that no converter fills, by transformers' name."""
    hidden_dropout: str = "hidden_dropout_prob"
    attention_dropout: str = "attention_probs_dropout_prob"
    head_dropout: str = "classifier_dropout"
    activation: str = "hidden_act"


_ROBERTA_HEAD = {"classifier.dense": "pooled_dense", "classifier.out_proj": "output_dense"}
_ARCHITECTURES = {
    "albert": _Architecture(
        "AlbertTextClassifier", "convert_albert", {"classifier": "output_dense"}, head_dropout="classifier_dropout_prob"
    ),
    "bert": _Architecture("BertTextClassifier", "convert_bert", {"classifier": "output_dense"}),
    "distilbert": _Architecture(
        "DistilBertTextClassifier",
        "convert_distilbert",
        {"pre_classifier": "pooled_dense", "classifier": "output_dense"},
        hidden_dropout="dropout",
        attention_dropout="attention_dropout",
        head_dropout="seq_classif_dropout",
        activation="activation",
    ),
    "roberta": _Architecture("RobertaTextClassifier", "convert_roberta", _ROBERTA_HEAD),
    "xlm-roberta": _Architecture("XLMRobertaTextClassifier", "convert_xlm_roberta", _ROBERTA_HEAD),
}
"""By transformers' model type: those that KerasHub can classify with and has a converter for."""

_TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
_ONE_SEGMENT = ("roberta", "xlm-roberta")


class KerasTwin:
    """A classifier of KerasHub with the weights of `source`, which stays on the CPU and takes them back on demand."""

    def __init__(self, source: Any, dtype: str) -> None:
        """Build the classifier, and copy the weights of `source` into it.

        Args:
            source: A PreTrainedModel for classification, in float32.
            dtype: Keras' policy: float32, or mixed_bfloat16 for computations in bfloat16 with weights in float32.

        Raises:
            TrainerError: MODEL when KerasHub does not have this architecture, or not all of it.
        """
        kind = source.config.model_type
        if kind not in _ARCHITECTURES:
            raise _not_supported(kind, f"KerasHub cannot classify with a model of type {kind}")
        self.source = source
        self._architecture = _ARCHITECTURES[kind]
        converter = import_module(f"keras_hub.src.utils.transformers.{self._architecture.converter}")
        if kind in _ONE_SEGMENT:
            _fold_segment(source)
        self.classifier = _build(self._architecture, converter, source.config, dtype)
        views = _Views(source)
        converter.convert_weights(self.classifier.backbone, views, source.config.to_dict())
        for theirs, ours in self._architecture.head.items():
            layer = getattr(self.classifier, ours)
            views.port_weight(layer.kernel, f"{theirs}.weight", lambda weight, _: weight.T)
            views.port_weight(layer.bias, f"{theirs}.bias")
        self._weights = views.found
        self._check_all_are_covered(kind)
        self.take()

    def take(self) -> None:
        """Take the weights of `source`."""
        for variable, view, _ in self._weights:
            variable.assign(view)

    def give(self) -> Any:
        """Write the weights into `source`, and return it."""
        for variable, view, _ in self._weights:
            view[...] = keras.ops.convert_to_numpy(variable)
        return self.source

    def inputs(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return a batch of transformers, each part of shape (rows, tokens), by the names that KerasHub has for its parts."""
        inputs = {"token_ids": batch["input_ids"], "padding_mask": batch["attention_mask"]}
        if "segment_ids" in self.classifier.backbone.input:
            inputs["segment_ids"] = batch.get("token_type_ids", torch.zeros_like(batch["input_ids"]))
        return inputs

    def not_decayed(self) -> list[Any]:
        """Return the variables without weight decay, as in transformers' Trainer: biases, and those of layer norms."""
        parameters = dict(self.source.named_parameters())
        return [variable for variable, _, name in self._weights if parameters[name].dim() < 2]

    def _check_all_are_covered(self, kind: str) -> None:
        names = {name for _, _, name in self._weights}
        left = [name for name, _ in self.source.named_parameters() if name not in names]
        if kind in _ONE_SEGMENT:
            left = [name for name in left if "token_type_embeddings" not in name]
        known = {id(variable) for variable, _, _ in self._weights}
        if left or any(id(variable) not in known for variable in self.classifier.trainable_variables):
            raise _not_supported(kind, f"KerasHub has another architecture for {kind} (weights such as {left[:1]})")


class _Views:
    """Takes the place of the checkpoint that a converter of KerasHub reads, and records which weights it reads."""

    def __init__(self, source: Any) -> None:
        self._tensors: dict[str, npt.NDArray[Any]] = {
            name: tensor.numpy() for name, tensor in source.state_dict().items()
        }
        self._prefix = f"{source.base_model_prefix}."
        self.found: list[tuple[Any, npt.NDArray[Any], str]] = []
        """Keras' variable, the memory of its like in transformers seen in Keras' shape, and the name there."""

    def get_tensor(self, name: str) -> npt.NDArray[Any]:
        return self._tensors[self._full(name)]

    def port_weight(self, keras_variable: Any, hf_weight_key: str, hook_fn: Hook | None = None) -> None:
        tensor = self.get_tensor(hf_weight_key)
        view = hook_fn(tensor, list(keras_variable.shape)) if hook_fn else tensor
        if not np.shares_memory(view, tensor) or view.shape != tuple(keras_variable.shape):
            raise ValueError(f"KerasHub's converter does more with {hf_weight_key} than to move its numbers")
        self.found.append((keras_variable, view, self._full(hf_weight_key)))

    def _full(self, name: str) -> str:
        return name if name in self._tensors else self._prefix + name


def _build(architecture: _Architecture, converter: Any, config: Any, dtype: str) -> Any:
    """Return the classifier with random weights. KerasHub has constants where transformers has settings: they are set here."""

    def dropout(name: str) -> float:
        value = getattr(config, name, None)
        return float(getattr(config, architecture.hidden_dropout) if value is None else value)

    hidden, attention = dropout(architecture.hidden_dropout), dropout(architecture.attention_dropout)
    # A layer that begins without dropout can never have one.
    settings = {**converter.convert_backbone_config(config.to_dict()), "dropout": max(hidden, attention)}
    if architecture.classifier in ("BertTextClassifier", "AlbertTextClassifier"):
        settings["num_segments"] = config.type_vocab_size
    backbone = converter.backbone_cls(**settings, dtype=dtype)
    layers = backbone._flatten_layers()
    attentions = [layer for layer in layers if isinstance(layer, keras.layers.MultiHeadAttention)]
    for layer in layers:
        if isinstance(layer, keras.layers.LayerNormalization):
            layer.epsilon = getattr(config, "layer_norm_eps", layer.epsilon)
        elif isinstance(layer, keras.layers.Dropout):
            layer.rate = hidden
        elif hasattr(layer, "_feedforward_intermediate_dense"):
            layer._feedforward_intermediate_dense.activation = _activation(getattr(config, architecture.activation))
    for layer in attentions:
        layer._dropout = layer._dropout_layer.rate = attention
    classifier = getattr(keras_hub.models, architecture.classifier)
    return classifier(backbone, num_classes=config.num_labels, dropout=dropout(architecture.head_dropout))


def _activation(name: str) -> Any:
    if name in _TANH_GELU:
        return lambda x: keras.activations.gelu(x, approximate=True)
    try:
        return keras.activations.get(name)
    except ValueError as error:
        raise model_error(
            Reason.MODEL_NOT_SUPPORTED, f"Keras has no activation '{name}'", "use engine 'trainer' or 'pytorch'"
        ) from error


def _fold_segment(model: Any) -> None:
    """RoBERTa has one segment, whose embedding is added everywhere: it can as well be a part of each position's."""
    embeddings = model.base_model.embeddings
    with torch.no_grad():
        embeddings.position_embeddings.weight += embeddings.token_type_embeddings.weight[0]
        embeddings.token_type_embeddings.weight -= embeddings.token_type_embeddings.weight[0].clone()


def _not_supported(kind: str, message: str) -> Exception:
    return model_error(
        Reason.MODEL_NOT_SUPPORTED,
        message,
        f"engine keras takes models of type {', '.join(_ARCHITECTURES)}; use engine 'trainer' or 'pytorch'",
    )
