"""Rows to tokens, once: what all tasks share."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import datasets
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.sources import Preprocessing
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.hardware import version_of
from finetune_trainer.data import token_cache
from finetune_trainer.data.examples import Examples
from finetune_trainer.data.rows import Rows
from finetune_trainer.models.tokenizer import tokenizer_limit
from finetune_trainer.storage.shared_cache import shared_root
from finetune_trainer.storage.uris import cache_folder

Batch: TypeAlias = dict[str, list[Any]]
Encode: TypeAlias = Callable[[Batch, list[int]], Batch]
"""From a batch of rows and their indices to input_ids and what else the model takes."""
_CHARACTERS_A_TOKEN = 64
"""Far more than any language has on average."""
_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u200c\u200d\u2060\ufeff"
"""White space, and what shows as little: what a file of texts with a byte order mark each leaves before them."""
_MAKERS = ("finetune-operator", "tokenizers", "transformers", "trl")


def tokenized(rows: Rows, columns: Sequence[str], encode: Encode, *settings: Any) -> Examples:
    """Apply `encode` to batches of rows, once: the result is kept by what it was made of.

    All that its result depends on must be in `columns`, of which it is the contents that count, and in `settings` (JSON),
    tokenizer included.
    """

    # datasets gives a new column the type of an old one of its name: a user's `labels` must not decide that of the model's.
    renamed = {column: f"rows.{column}" for column in columns}

    def with_length(batch: Batch, indices: list[int]) -> Batch:
        last = rows.name_row(indices[-1])
        with tokenizer_limit(f"the rows up to {last} are not tokens"):
            encoded = encode({column: batch[name] for column, name in renamed.items()}, indices)
        return {**encoded, "length": [len(tokens) for tokens in encoded["input_ids"]]}

    made_of = [rows.fingerprint(columns), [(name, version_of(name)) for name in _MAKERS], *settings]
    fingerprint = hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()[:32]
    source = rows.dataset.select_columns(list(columns)).rename_columns(renamed)
    place = _cache_folder() / f"{fingerprint}.arrow"
    with token_cache.once(place):
        token_cache.fetch(place)
        encoded = source.map(
            with_length,
            batched=True,
            with_indices=True,
            remove_columns=source.column_names,
            cache_file_name=str(place),
            new_fingerprint=fingerprint,
            desc=f"tokenizing {rows.split}",
        )
        token_cache.leave(place)
    lengths: list[int] = encoded["length"][:]
    return Examples(encoded.remove_columns("length"), lengths, rows.name_row)


@contextmanager
def as_loaded(tokenizer: Tokenizer) -> Iterator[None]:
    """Restore a tokenizer's truncation and padding at the end: they are saved with it.

    What is exported must not depend on whether rows were tokenized in this process or kept from another.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    truncation, padding = (backend.truncation, backend.padding) if backend else (None, None)
    yield
    if backend:
        backend.enable_truncation(**truncation) if truncation else backend.no_truncation()
        backend.enable_padding(**padding) if padding else backend.no_padding()


def _cache_folder() -> Path:
    """Not beside the rows, where `datasets` would put it: a user's folder is not ours, and may be read-only."""
    # Read in random order, which a volume of the network is slow at.
    folder = (cache_folder() if shared_root() else Path(datasets.config.HF_DATASETS_CACHE)) / "tokenized"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def encode_texts(
    tokenizer: Tokenizer, sides: Mapping[str, Sequence[str]], cut: Mapping[str, Any], used: int | None = None
) -> Batch:
    """Texts as tokens.

    Tokenizers read a text to its end before they cut it, which takes 150 MB of memory for each MB. So of a huge text only
    the beginning is given to them, unless its tokens do not fill the row.

    Args:
        sides: The texts by the tokenizer's argument: `text`, and `text_pair` for pairs; or `text_target`.
        cut: From `cutting`.
        used: How many tokens of a row are used, where the tokenizer is not to cut.
    """
    options = {"verbose": False, **cut}
    if cut["truncation"] and tokenizer.truncation_side == "right":
        used = cut["max_length"]
    if used is None:
        return dict(tokenizer(**sides, **options))
    parts = {side: [text[: used * _CHARACTERS_A_TOKEN] for text in texts] for side, texts in sides.items()}
    encoded = dict(tokenizer(**parts, **options))
    for index, tokens in enumerate(encoded["input_ids"]):
        whole = {side: texts[index] for side, texts in sides.items()}
        if len(tokens) < used and {side: texts[index] for side, texts in parts.items()} != whole:
            for name, values in tokenizer(**whole, **options).items():
                encoded[name][index] = values
    return encoded


def without_outer_blanks(text: str, tokenizer: Tokenizer, behind: bool = True) -> str:
    """Without the blanks before a beginning of text that is written in it and, if `behind`, those after an end of text: else the
    tokenizer would put another one before or after them."""
    begins, ends = (tokenizer.bos_token, tokenizer.cls_token), (tokenizer.eos_token, tokenizer.sep_token)
    if (left := text.lstrip(_BLANKS)).startswith(tuple(filter(None, begins))):
        text = left
    if behind and (right := text.rstrip(_BLANKS)).endswith(tuple(filter(None, ends))):
        text = right
    return text


def with_single_ends(encoded: Batch, tokenizer: Tokenizer) -> Batch:
    """Without the second beginning and end of texts that were written with their own."""
    ends = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id}
    for index, tokens in enumerate(encoded["input_ids"]):
        start = int(len(tokens) > 1 and tokens[0] == tokens[1] and tokens[0] in ends)
        stop = len(tokens) - int(len(tokens) > start + 1 and tokens[-1] == tokens[-2] and tokens[-1] in ends)
        if stop - start < len(tokens):
            for values in encoded.values():
                values[index] = values[index][start:stop]
    return encoded


def cutting(settings: Preprocessing, longest: int | None) -> dict[str, Any]:
    """Arguments for a tokenizer that cut what is longer than `longest` tokens, where that is wanted."""
    return {"truncation": True, "max_length": longest} if settings.truncation and longest else {"truncation": False}


def longest_sequence(settings: Preprocessing, tokenizer: Tokenizer, model_config: Any, special: int) -> int | None:
    """How many tokens a row may have; None where neither the settings nor the model set a bound.

    Args:
        special: How many tokens the tokenizer adds to each row.

    Raises:
        TrainerError: BAD_CONFIGURATION when maxLength is more than the model can take, or leaves no room for text.
    """
    positions = _positions(model_config.get_text_config())
    # Tokenizers without a limit give a huge number.
    own = [limit for limit in (tokenizer.model_max_length, positions) if limit is not None and 0 < limit < 10_000_000]
    if settings.max_length is None:
        return min(own) if own else None
    if positions is not None and 0 < positions < settings.max_length:
        raise bad_configuration(
            f"preprocessing.maxLength: {settings.max_length} is more than the {positions} tokens that the model takes",
            f"set it to {min(own)} or less",
        )
    if settings.max_length <= special:
        raise bad_configuration(
            f"preprocessing.maxLength: {settings.max_length} leaves no room beside the {special} special tokens",
            "set it to the length of your texts in tokens, such as 128",
        )
    return settings.max_length


_COUNT_FROM_PADDING = {
    "camembert", "data2vec-text", "esm", "ibert", "lilt", "longformer", "luke", "mpnet", "roberta",
    "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
"""Model types whose first token has the position after the padding token's id, so that 514 positions take 512 tokens."""


def _positions(model_config: Any) -> int | None:
    """How many tokens the model has positions for; None where it has no bound."""
    positions: int | None = getattr(model_config, "max_position_embeddings", None)
    if positions is None or model_config.model_type not in _COUNT_FROM_PADDING:
        return positions
    return positions - (1 if model_config.pad_token_id is None else model_config.pad_token_id) - 1


def padding_multiple(longest: int | None, use_cpu: bool) -> int | None:
    """Tensor cores like multiples of 8; a model's limit is never passed by it."""
    return 8 if not use_cpu and (longest is None or longest % 8 == 0) else None
