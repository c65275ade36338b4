"""Finds the rows that a step fails on, by trying fewer and fewer of them."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error, model_error
from finetune_trainer.engines.batching import CurrentRows

_PATIENCE: Final = 120.0
"""Seconds to look for the rows; a large model is slow on a CPU, and a GPU waits meanwhile."""
_BEYOND = ("out of range", "out of bounds", "device-side assert", "index error")

Try = Callable[[Sequence[int]], Exception | None]
"""What the model fails with on some rows at once, if it does."""


def find_rows(current: CurrentRows, fails: Try) -> TrainerError | None:
    """Return the failure of the fewest rows that fail, one alone if there is one; None if none is found in time."""
    end = time.monotonic() + _PATIENCE
    for row in current.rows:
        if found := fails([row]):
            others = [other for other in current.rows if other != row][:2]
            if others and all(fails([other]) for other in others):
                return _model_fails(current, row, found)
            return _rows_fail(current, [row], found)
        if time.monotonic() > end:
            return None
    size = current.batch_size
    for start in range(0, len(current.rows), size):
        batch = current.rows[start : start + size]
        if fails(batch):
            fewest = _fewest(batch, fails, end)
            return _rows_fail(current, fewest, fails(fewest) or RuntimeError())
        if time.monotonic() > end:
            return None
    return None


def describe(error: BaseException) -> str:
    """An error on one line."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:300]}"


def _fewest(rows: Sequence[int], fails: Try, end: float) -> list[int]:
    """Of rows that fail together those without which they would not."""
    left = list(rows)
    for row in rows:
        without = [other for other in left if other != row]
        if without and time.monotonic() < end and fails(without):
            left = without
    return left


def _rows_fail(current: CurrentRows, rows: Sequence[int], error: Exception) -> TrainerError:
    names = " and ".join(current.examples.called(row) for row in rows[:3])
    what = f"cannot be {current.doing}" if len(rows) == 1 else f"cannot be {current.doing} in one batch"
    return data_error(Reason.ROW_FAILS, f"{names} {what}: {describe(error)}", _hint(error))


def _model_fails(current: CurrentRows, row: int, error: Exception) -> TrainerError:
    name = current.examples.called(row)
    return model_error(
        Reason.MODEL_FAILS, f"the model fails on whatever it is given, such as {name}: {describe(error)}", _hint(error)
    )


def _hint(error: Exception) -> str:
    text = str(error).lower()
    if any(words in text for words in _BEYOND) or isinstance(error, IndexError):
        return (
            "a token, a position or a label is beyond what the model has: compare its tokenizer with its vocabulary, "
            "preprocessing.maxLength with its positions, and the labels with its classes"
        )
    if "<eos>" in text:
        return (
            "the model reads the text up to its end-of-text token, and a text that holds this token itself has several: "
            "take it out of the text"
        )
    return "correct or drop what it names, or use a model that takes it"
