"""One text or a pair of texts, and one class."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.v1alpha1 import Columns, Preprocessing
from finetune_trainer.data import Rows, check_columns
from finetune_trainer.failures import bad_configuration, data_error
from finetune_trainer.labels import label_ids


@dataclass(frozen=True)
class Examples:
    """Tokenised rows: input_ids and what else the model takes, and labels."""

    dataset: datasets.Dataset
    lengths: list[int]
    """Tokens in each row, without padding."""


def column_fields(columns: Columns) -> dict[str, str]:
    """The columns in use, by their field in dataset.columns."""
    used = {"text": columns.text, "textPair": columns.text_pair, "label": columns.label}
    return {field: column for field, column in used.items() if column is not None}


def check_rows(rows: Rows, columns: Columns) -> None:
    """All columns are there, and those for text hold text.

    Raises:
        TrainerError: DATA, naming the column, and the row where there is one.
    """
    used = column_fields(columns)
    check_columns(rows, used)
    for field in ("text", "textPair"):
        if field in used:
            feature = rows.dataset.features[used[field]]
            kind = feature.dtype if isinstance(feature, datasets.Value) else type(feature).__name__
            if kind not in ("string", "large_string"):
                raise data_error(
                    "ColumnType",
                    f"column '{used[field]}' of split '{rows.split}' holds {kind} and not text "
                    f"(row {rows.positions[0]}: {rows.dataset[0][used[field]]!r:.80})",
                    f"set dataset.columns.{field} to a column of text",
                )


def longest_sequence(settings: Preprocessing, tokenizer: Tokenizer, model_config: Any, pair: bool) -> int | None:
    """How many tokens a row may have; None where neither the settings nor the model set a bound.

    Raises:
        TrainerError: BAD_CONFIGURATION when maxLength is more than the model can take, or leaves no room for text.
    """
    positions = _positions(model_config.get_text_config())
    # A tokenizer that knows no limit says so by a huge number.
    own = [limit for limit in (tokenizer.model_max_length, positions) if limit is not None and 0 < limit < 10_000_000]
    if settings.max_length is None:
        return min(own) if own else None
    if positions is not None and 0 < positions < settings.max_length:
        raise bad_configuration(
            f"preprocessing.maxLength: {settings.max_length} is more than the {positions} tokens that the model takes",
            f"set it to {min(own)} or less",
        )
    special = tokenizer.num_special_tokens_to_add(pair=pair)
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


def tokenize(
    rows: Rows,
    columns: Columns,
    names: Sequence[str],
    tokenizer: Tokenizer,
    longest: int | None,
    truncation: bool,
    revision: str,
) -> Examples:
    """Tokenise once; the result is kept by a fingerprint of rows, tokenizer (`revision`) and settings."""
    labels = label_ids(rows, columns.label, names)

    def encode(batch: dict[str, list[str]], indices: list[int]) -> dict[str, Any]:
        pairs = batch[columns.text_pair] if columns.text_pair else None
        cut = {"truncation": True, "max_length": longest} if truncation and longest else {"truncation": False}
        encoded = dict(tokenizer(batch[columns.text], pairs, verbose=False, **cut))
        encoded["labels"] = [labels[index] for index in indices]
        encoded["length"] = [len(tokens) for tokens in encoded["input_ids"]]
        return encoded

    settings = [rows.dataset._fingerprint, columns.to_wire(), list(names), longest, truncation, revision]
    fingerprint = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32]
    encoded = rows.dataset.map(
        encode,
        batched=True,
        with_indices=True,
        remove_columns=rows.dataset.column_names,
        cache_file_name=str(_cache_folder() / f"{fingerprint}.arrow"),
        new_fingerprint=fingerprint,
        desc=f"tokenizing {rows.split}",
    )
    lengths: list[int] = encoded["length"][:]
    _check_lengths(rows, lengths, longest)
    return Examples(encoded.remove_columns("length"), lengths)


def _cache_folder() -> Path:
    """Not beside the rows, where `datasets` would put it: a user's folder is not ours, and may be read-only."""
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "tokenized"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check_lengths(rows: Rows, lengths: list[int], longest: int | None) -> None:
    for index, length in enumerate(lengths):
        if length == 0:
            raise data_error("EmptyText", f"{rows.name_row(index)} has no tokens: its text is empty", "drop the row")
        if longest is not None and length > longest:
            raise data_error(
                "TextTooLong",
                f"{rows.name_row(index)} has {length} tokens, more than {longest}",
                "set preprocessing.truncation to true, or raise preprocessing.maxLength if the model allows",
            )
