"""Explains a step that failed by its rows, so that what would fail in each attempt ends as a fault of data or model."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.hardware import available_memory
from finetune_trainer.engines.batching import CurrentRows
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.processes.fsdp import is_sharded
from finetune_trainer.processes.group import explain_loss
from finetune_trainer.run.failing_rows import Try, describe, find_rows
from finetune_trainer.run.load import load_model
from finetune_trainer.run.out_of_memory import is_memory_shortage

logger = logging.getLogger(__name__)

_OF_ROWS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)


def explain_rows(error: BaseException, current: CurrentRows | None, prepared: Prepared) -> TrainerError | None:
    """Return the failure, if `error` comes up again with some of the current rows, on a CPU.

    Returns:
        DATA, naming the rows; MODEL where the model fails on whatever it is given; None where nothing fails again.
    """
    if current is None or not isinstance(error, _OF_ROWS):
        return None
    if explain_loss(error) or is_memory_shortage(error):
        return None
    logger.info("a step failed (%s); looking for its rows", describe(error))
    fails = _trial(current, prepared)
    return find_rows(current, fails) if fails is not None else None


def _trial(current: CurrentRows, prepared: Prepared) -> Try | None:
    """What tries some of the rows; None where there is no memory for a model to try them with."""
    model, data, generation = _on_cpu(prepared), prepared.data, prepared.data.scoring.generation
    if model is None:
        return None

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
