"""Embeddings at a model's input and its output that are one weight, or are not, and what its configuration says of that."""

from collections import Counter
from typing import TYPE_CHECKING

from torch import nn
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from peft import PeftModel


def part_adapted(model: "PeftModel") -> None:
    """Give each module that an adapter belongs to a weight of its own: merged into one that others share, it would change
    those as well."""
    from peft.tuners.lora import LoraLayer

    owners = Counter(id(weight) for module in model.modules() for weight in module._parameters.values())
    for module in model.modules():
        if isinstance(module, LoraLayer):
            base = module.get_base_layer()
            for name, weight in base._parameters.items():
                if weight is not None and owners[id(weight)] > 1:
                    setattr(base, name, nn.Parameter(weight.detach().clone(), weight.requires_grad))


def say_untied(model: PreTrainedModel, tied: bool) -> bool:
    """Have the configuration say that input and output embeddings are two weights where they are, for those that tie them by
    it alone. transformers compares the weights in the file as well.

    Args:
        tied: What the configuration of the pretrained model says. With encoder-decoders that stays: T5 and its like
            scale their output by it.

    Returns:
        Whether they are two though the pretrained model's configuration says otherwise.
    """
    if not tied or _are_one(model):
        return False
    stays = bool(getattr(model.config, "is_encoder_decoder", False))
    for config in (model.config, model.config.get_text_config()):
        if hasattr(config, "tie_word_embeddings"):
            config.tie_word_embeddings = stays
    return True


def _are_one(model: PreTrainedModel) -> bool:
    """Whether the output layer shares its weight: with the embeddings of an encoder, of a decoder, or of both. Also where
    there is none, and where its architecture has two, whatever a configuration says."""
    weight = getattr(model.get_output_embeddings(), "weight", None)  # type: ignore[no-untyped-call]
    owners = sum(other is weight for _, other in model.named_parameters(remove_duplicate=False))
    return weight is None or owners > 1 or not model._tied_weights_keys
