"""Rows as tokens, checked before the first step: each row has some and none too many, and each token has an embedding."""

import logging
from collections.abc import Sequence

import datasets
import pyarrow.compute as pc  # type: ignore[import-untyped]
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import data_error
from finetune_trainer.data.rows import Rows
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.models.special_tokens import without_embedding

logger = logging.getLogger(__name__)

_BATCH = 10_000


def check_filled(rows: Rows, lengths: Sequence[int]) -> None:
    """Each row has tokens.

    Raises:
        TrainerError: DATA, naming the row.
    """
    if 0 in lengths:
        empty = rows.name_row(lengths.index(0))
        raise data_error(Reason.EMPTY_TEXT, f"{empty} has no tokens: its text is empty", "drop the row")


def check_lengths(
    rows: Rows, lengths: Sequence[int], longest: int | None, field: str = "maxLength", whose: str = ""
) -> None:
    """No row has too many tokens. Warns of how many have as many as they may, as those that were cut have.

    Args:
        field: Of `preprocessing`: what sets the bound.
        whose: What of the row has the tokens, such as `the target in `.

    Raises:
        TrainerError: DATA, naming the row.
    """
    if longest is None:
        return
    for index, length in enumerate(lengths):
        if length > longest:
            raise data_error(
                Reason.TEXT_TOO_LONG,
                f"{whose}{rows.name_row(index)} has {length} tokens, more than {longest}",
                f"set preprocessing.truncation to true, or raise preprocessing.{field} if the model allows",
            )
    if full := sum(length == longest for length in lengths):
        logger.info(
            "split '%s': %d of %d rows fill the %d tokens of %s; what was beyond is cut away",
            rows.split, full, len(lengths), longest, field,
        )  # fmt: skip


def check_embedded(
    rows: Rows, encoded: datasets.Dataset, tokenizer: Tokenizer, pretrained: Pretrained, columns: Sequence[str]
) -> None:
    """The model has an embedding for each token of the rows.

    Args:
        encoded: The rows as tokens, as many in the same order.
        columns: Those that hold tokens.

    Raises:
        TrainerError: MODEL, naming the row and the token.
    """
    embeddings = pretrained.embeddings
    if embeddings is None:
        return
    for column in columns:
        if beyond := _first_beyond(encoded, column, embeddings):
            index, token = beyond
            what = f"the token {tokenizer.convert_ids_to_tokens(token)!r} in {rows.name_row(index)}"
            raise without_embedding(pretrained.source, what, token, embeddings)


def _first_beyond(encoded: datasets.Dataset, column: str, embeddings: int) -> tuple[int, int] | None:
    """The index of the first row with a token that has no embedding, and the token."""
    for number, batch in enumerate(encoded.select_columns([column]).with_format("arrow").iter(batch_size=_BATCH)):
        highest = pc.max(batch[column].combine_chunks().flatten()).as_py()
        if highest is None or highest < embeddings:
            continue
        for index, row in enumerate(batch[column].to_pylist(), start=number * _BATCH):
            if (token := max(row, default=0)) >= embeddings:
                return index, token
    return None
