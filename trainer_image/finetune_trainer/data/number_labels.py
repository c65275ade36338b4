"""Numbers that rows are labelled with, to be learnt as such."""

import math
from collections.abc import Sequence

from finetune_api.plain_numbers import plain_number
from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.class_names import number_in_writing
from finetune_trainer.data.columns import example, kind_of
from finetune_trainer.data.rows import Rows

_SOME = 20
"""Texts that are looked at for how numbers are written."""
_MOST = 1e18
"""The largest number that is learnt: the squares of 340 such errors in a batch come to 3.4e38, the largest number of 32 bits."""
_TO_NUMBERS = "set dataset.columns.label to a column of numbers, or leave model.problemType out"


def numbers(rows: Rows, column: str) -> list[float]:
    """Each row's number.

    Raises:
        TrainerError: DATA when the column holds no numbers; naming the row, for one that is not finite.
    """
    kind = kind_of(rows.dataset.features[column])
    if kind == "text":
        found = _written_numbers(rows, column)
    elif kind.startswith(("float", "int", "uint")):
        found = [float(value) for value in rows.dataset[column][:]]
    else:
        raise _no_numbers(rows, column, _TO_NUMBERS)
    large = next((index for index, value in enumerate(found) if _MOST < abs(value) < math.inf), None)
    if large is not None:
        raise data_error(
            Reason.COLUMN_TYPE,
            f"column '{column}' is {found[large]:g} in {rows.name_row(large)}: squares of such numbers, summed over a batch, may be too large for 32 bits, in "
            "which the loss is",
            "learn smaller numbers: other units, or their logarithms",
        )
    broken = next((index for index, value in enumerate(found) if not math.isfinite(value)), None)
    if broken is not None:
        raise data_error(
            Reason.VALUE_MISSING, f"column '{column}' is {found[broken]} in {rows.name_row(broken)}", "drop the row"
        )
    return found


def _written_numbers(rows: Rows, column: str) -> list[float]:
    """Numbers that are written as text, as json has them in quotes."""
    texts = [text or "" for text in rows.dataset[column][:]]
    found = [plain_number(text) for text in texts]
    if None not in found:
        return [number for number in found if number is not None]
    odd = [text for text, number in zip(texts, found, strict=True) if number is None and text.strip()]
    if number_in_writing([*odd, *(text for text in texts[:_SOME] if text)]):
        raise _no_numbers(rows, column, "write plain numbers (1234.5), without commas, signs and words")
    if all(number is None for number in found):
        raise _no_numbers(rows, column, _TO_NUMBERS)
    first = found.index(None)
    raise data_error(
        Reason.COLUMN_TYPE,
        f"column '{column}' holds {texts[first]!r:.60} in {rows.name_row(first)}, and regression needs numbers",
        "write a number there (1234.5), or drop the row",
    )


def _no_numbers(rows: Rows, column: str, hint: str) -> TrainerError:
    kind = kind_of(rows.dataset.features[column])
    return data_error(
        Reason.COLUMN_TYPE,
        f"column '{column}' of split '{rows.split}' holds {kind}, and regression needs numbers ({example(rows, column)})",
        hint,
    )


def warn_of_constant(rows: Rows, column: str, values: Sequence[float]) -> None:
    """Warn where numbers to learn are all the same."""
    if len(values) > 1 and len(set(values)) == 1:
        warn(
            Reason.ONE_NUMBER,
            f"column '{column}' is {values[0]:g} in all {len(values)} rows of split '{rows.split}': nothing is learnt of what "
            "it depends on, and a correlation with it is 0. Take other rows, or another column",
        )
