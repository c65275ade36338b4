"""Rows as tokens, checked before the first step: each row has some and none too many, each token has an embedding, and most are known."""

import logging
from collections.abc import Sequence

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import data_error, model_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.rows import Rows
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.models.special_tokens import without_embedding

logger = logging.getLogger(__name__)

MOSTLY_UNKNOWN = 0.9
"""Share of unknown tokens from which on nothing is left to learn. Texts in a script that a vocabulary has only the
punctuation and figures of come to this; those that it was made for stay below a hundredth."""
OFTEN_UNKNOWN = 0.05
"""Share from which on it is warned of: one word of twenty is lost, which rare words and emoji alone do not come to."""
_BATCH = 10_000


def check_vocabulary(tokenizer: Tokenizer, embeddings: int | None, source: str) -> None:
    """Warn that the tokenizer has tokens beyond the model's embeddings: harmless as long as no text has them."""
    if embeddings is None:
        return
    beyond = {token: name for name, token in tokenizer.get_vocab().items() if token >= embeddings}
    if beyond:
        first = min(beyond)
        warn(
            Reason.TOKENS_WITHOUT_EMBEDDING,
            f"model.source {source}: its tokenizer has {len(beyond)} tokens that the model has no embedding for, such as "
            f"{beyond[first]!r} with the id {first}: it has {embeddings}; no row that is trained on may hold them",
        )


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


def check_tokens(
    rows: Rows,
    encoded: datasets.Dataset,
    tokenizer: Tokenizer,
    pretrained: Pretrained,
    columns: Sequence[str] = ("input_ids",),
) -> None:
    """The model has an embedding for each token of the rows, and the tokenizer knows most of their words.

    Args:
        encoded: The rows as tokens, as many in the same order.
        columns: Those that hold tokens.

    Raises:
        TrainerError: MODEL, naming the row and the token, or the share of unknown tokens.
    """
    unknown = unknown_token(tokenizer)
    special = pa.array([token for token in tokenizer.all_special_ids if token != unknown], pa.int64())
    words = lost = 0
    for column in columns:
        for number, batch in enumerate(encoded.select_columns([column]).with_format("arrow").iter(batch_size=_BATCH)):
            tokens = pc.cast(batch[column].combine_chunks().flatten(), pa.int64())
            _check_embedded(rows, batch[column], tokens, number * _BATCH, tokenizer, pretrained)
            if unknown is not None:
                lost += pc.sum(pc.equal(tokens, unknown)).as_py() or 0
                learnt = pc.and_(pc.greater_equal(tokens, 0), pc.invert(pc.is_in(tokens, special)))
                words += pc.sum(learnt).as_py() or 0
    _check_known(rows, lost, words, tokenizer, pretrained.source)


def unknown_token(tokenizer: Tokenizer) -> int | None:
    """The token of what the vocabulary does not have. None where it means something else as well, such as the end
    of a text: tokenizers of bytes know everything, and name one all the same."""
    unknown: int | None = tokenizer.unk_token_id
    return None if unknown in (tokenizer.eos_token_id, tokenizer.bos_token_id) else unknown


def _check_embedded(
    rows: Rows, lists: pa.ChunkedArray, tokens: pa.Array, first: int, tokenizer: Tokenizer, pretrained: Pretrained
) -> None:
    embeddings, highest = pretrained.embeddings, pc.max(tokens).as_py()
    if embeddings is None or highest is None or highest < embeddings:
        return
    for index, row in enumerate(lists.to_pylist(), start=first):
        if (token := max(row, default=0)) >= embeddings:
            name = tokenizer.convert_ids_to_tokens(token)
            what = f"the token {name!r} in {rows.name_row(index)}"
            raise without_embedding(pretrained.source, what, token, embeddings)


def _check_known(rows: Rows, lost: int, words: int, tokenizer: Tokenizer, source: str) -> None:
    share = lost / words if words else 0.0
    message = (
        f"{share:.0%} of the tokens of split '{rows.split}' are {tokenizer.unk_token!r}: the tokenizer of {source} does "
        "not know what the texts say"
    )
    if share >= MOSTLY_UNKNOWN:
        raise model_error(
            Reason.TEXTS_UNKNOWN,
            message,
            "use a model for the language and the kind of these texts; check the tokenizer's files",
        )
    if share >= OFTEN_UNKNOWN:
        warn(Reason.TEXTS_OFTEN_UNKNOWN, message)
