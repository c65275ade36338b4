"""Rows as tokens, checked before the first step: the tokenizer knows most of their words."""

from collections.abc import Sequence

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import model_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.rows import Rows

MOSTLY_UNKNOWN = 0.9
"""Share of unknown tokens from which on nothing is left to learn. Texts in a script that a vocabulary has only the
punctuation and figures of come to this; those that it was made for stay below a hundredth."""
OFTEN_UNKNOWN = 0.05
"""Share from which on it is warned of: one word of twenty is lost, which rare words and emoji alone do not come to."""
_BATCH = 10_000


def check_known(
    rows: Rows, encoded: datasets.Dataset, tokenizer: Tokenizer, source: str, columns: Sequence[str]
) -> None:
    """The tokenizer knows most words of the rows. Warns where many are unknown.

    Args:
        encoded: The rows as tokens.
        source: Of the model, for messages.
        columns: Those that hold tokens.

    Raises:
        TrainerError: MODEL, with the share of unknown tokens.
    """
    unknown = _unknown_token(tokenizer)
    if unknown is None:
        return
    share = _share(encoded, unknown, tokenizer, columns)
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


def _unknown_token(tokenizer: Tokenizer) -> int | None:
    """The token of what the vocabulary does not have. None where it means something else as well, such as the end
    of a text: tokenizers of bytes know everything, and name one all the same."""
    unknown: int | None = tokenizer.unk_token_id
    return None if unknown in (tokenizer.eos_token_id, tokenizer.bos_token_id) else unknown


def _share(encoded: datasets.Dataset, unknown: int, tokenizer: Tokenizer, columns: Sequence[str]) -> float:
    """The share of unknown tokens, special ones aside."""
    special = pa.array([token for token in tokenizer.all_special_ids if token != unknown], pa.int64())
    words = lost = 0
    for column in columns:
        for batch in encoded.select_columns([column]).with_format("arrow").iter(batch_size=_BATCH):
            tokens = pc.cast(batch[column].combine_chunks().flatten(), pa.int64())
            lost += pc.sum(pc.equal(tokens, unknown)).as_py() or 0
            learnt = pc.and_(pc.greater_equal(tokens, 0), pc.invert(pc.is_in(tokens, special)))
            words += pc.sum(learnt).as_py() or 0
    return lost / words if words else 0.0
