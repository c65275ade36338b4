"""Finds the rows that a step fails on, so that what would fail in each attempt ends as a fault of data or model."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import torch

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error, model_error
from finetune_trainer.base.hardware import available_memory
from finetune_trainer.engines.batching import CurrentRows
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.processes.fsdp import is_sharded
from finetune_trainer.processes.group import explain_loss
from finetune_trainer.run.load import load_model
from finetune_trainer.run.out_of_memory import is_memory_shortage

logger = logging.getLogger(__name__)

_OF_ROWS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
_PATIENCE: Final = 120.0
"""Seconds to look for the rows; a large model is slow on a CPU, and a GPU waits meanwhile."""
_BEYOND = ("out of range", "out of bounds", "device-side assert", "index error")

Try = Callable[[Sequence[int]], Exception | None]
"""What the model fails with on some rows at once, if it does."""


def explain_rows(error: BaseException, current: CurrentRows | None, prepared: Prepared) -> TrainerError | None:
    """Return the failure, if `error` comes up again with some of the current rows, on a CPU.

    Returns:
        DATA, naming the rows; MODEL where the model fails on whatever it is given; None where nothing fails again.
    """
    if current is None or not isinstance(error, _OF_ROWS):
        return None
    if explain_loss(error) or is_memory_shortage(error):
        return None
    logger.info("a step failed (%s: %s); looking for its rows", type(error).__name__, _first_line(error))
    model = _on_cpu(prepared)
    return find_rows(current, _trial(model, current, prepared)) if model is not None else None


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
    return data_error(Reason.ROW_FAILS, f"{names} {what}: {_describe(error)}", _hint(error))


def _model_fails(current: CurrentRows, row: int, error: Exception) -> TrainerError:
    name = current.examples.called(row)
    return model_error(
        Reason.MODEL_FAILS, f"the model fails on whatever it is given, such as {name}: {_describe(error)}", _hint(error)
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


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")[:300]


def _trial(model: Any, current: CurrentRows, prepared: Prepared) -> Try:
    data, generation = prepared.data, prepared.data.scoring.generation

    def fails(rows: Sequence[int]) -> Exception | None:
        try:
            batch = data.collate([current.examples.dataset[row] for row in rows])
            with torch.no_grad():
                model(**batch)
                if generation and not current.training:
                    model.generate(**{name: batch[name] for name in ("input_ids", "attention_mask")}, **generation)
        except _OF_ROWS as error:
            return None if is_memory_shortage(error) else error
        return None

    return fails


def _on_cpu(prepared: Prepared) -> Any:
    """Return the model on the CPU, or one like it, which no broken GPU can disturb; None where there is no memory for it."""
    model: Any = prepared.model
    if not is_sharded(model) and all(weight.device.type == "cpu" for weight in model.parameters()):
        return model.eval()
    needed, free = sum(weight.numel() for weight in model.parameters()) * 4, available_memory()
    if free is not None and needed > free:
        return None
    on_cpu = replace(prepared.plan, bf16=False)
    try:
        return load_model(on_cpu, prepared.data, prepared.pretrained).eval()
    except Exception as error:  # noqa: BLE001 - the failure of the step is reported then, and not this one
        logger.warning("the model cannot be loaded once more, to look for the rows: %s", error)
        return None
