"""The tokenizer's special tokens are those of the model: the same ids, each with an embedding."""

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.trainer_utils import align_special_tokens as align_as_the_trainer

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.run_warnings import warn

_NO_PADDING = (
    "pad_token_id, the token that fills up texts where a decoder reads them",
    "set it there to the id of the padding token of its tokenizer",
)
_NO_START = (
    "decoder_start_token_id, the token with which each text begins that it writes",
    "set it there as the model was trained: T5 and Marian begin with the padding token, BART with the end of text, and a decoder that "
    "was made of BERT with [CLS]",
)


def align_special_tokens(model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """Take the tokenizer's padding, begin and end into the model's configuration, as transformers' Trainer does.

    What reads the configuration is the same then for each engine, and in the export: a classifier on a decoder, for
    one, looks for the last token that is no padding.
    """
    align_as_the_trainer(model, tokenizer)  # type: ignore[no-untyped-call]


def check_special_tokens(model: PreTrainedModel, tokenizer: Tokenizer, source: str) -> None:
    """The tokens that are put into batches are known, and have embeddings.

    Raises:
        TrainerError: MODEL, naming the token.
    """
    _check_begins(model, source)
    embeddings = count_embeddings(model)
    if embeddings is None:
        return
    config = model.config.get_text_config()
    pad: int | None = tokenizer.pad_token_id
    if pad is not None and pad >= embeddings:
        raise without_embedding(source, f"the padding token {tokenizer.pad_token!r}", pad, embeddings)
    start = getattr(config, "decoder_start_token_id", None) if getattr(config, "is_encoder_decoder", False) else None
    if start is not None and start >= embeddings:
        raise without_embedding(source, "decoder_start_token_id of its config.json", start, embeddings)
    for name in ("bos_token_id", "eos_token_id"):
        tokens = getattr(config, name, None)
        for token in tokens if isinstance(tokens, list) else [tokens]:
            if token is not None and token >= embeddings:
                warn(
                    Reason.TOKENS_WITHOUT_EMBEDDING,
                    f"model.source {source}: {name} of its config.json is {token}, and it has embeddings for {embeddings} "
                    "tokens: no text will begin or end with it; set the one that the tokenizer has",
                )


def _check_begins(model: PreTrainedModel, source: str) -> None:
    """A decoder knows the token that each text begins with, by its own field of the configuration or another one, and the one that pads."""
    begin = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if begin is None:
        return
    pad = getattr(model.config, "pad_token_id", None)
    try:
        begin(labels=torch.tensor([[1 if pad == 0 else 0]]))  # a text has a token that does not pad
    except (TypeError, ValueError, AttributeError) as error:
        lacks, hint = _NO_PADDING if pad is None else _NO_START
        raise model_error(Reason.MODEL_CONFIG_WRONG, f"{source}: its config.json has no {lacks}", hint) from error


def count_embeddings(model: Any) -> int | None:
    """For how many tokens a model has embeddings; None where it reads characters by other means, as CANINE does."""
    try:
        weight = getattr(model.get_input_embeddings(), "weight", None)
    except NotImplementedError:
        return None
    return None if weight is None else int(weight.shape[0])


def without_embedding(source: str, what: str, token: int, embeddings: int) -> TrainerError:
    return model_error(
        Reason.TOKENS_WITHOUT_EMBEDDING,
        f"{source}: {what} has the id {token}, and the model has embeddings for {embeddings} tokens only (0 to {embeddings - 1})",
        "save the model with embeddings for all tokens of its tokenizer: model.resize_token_embeddings(len(tokenizer)); or "
        "use the tokenizer that belongs to the model",
    )
