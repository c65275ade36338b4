"""How long a run takes, measured by a few real steps of it on this machine."""

import logging
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from transformers.utils.logging import disable_progress_bar

from finetune_trainer.data.examples import Examples
from finetune_trainer.engines.batching import evaluation_order
from finetune_trainer.engines.check import is_installed
from finetune_trainer.engines.engine import Engine, Prepared
from finetune_trainer.engines.registry import make_engine
from finetune_trainer.run.failed_step import explain_rows
from finetune_trainer.run.find import Found
from finetune_trainer.run.load import load
from finetune_trainer.run.out_of_memory import gpu_shortage, release_memory
from finetune_trainer.run.preflight.estimate import count_evaluations
from finetune_trainer.run.preflight.findings import Findings, Timing
from finetune_trainer.run.preflight.stopwatch import Stopwatch
from finetune_trainer.settings.run_plan import RunPlan, make_plan

_EVALUATED: Final = 8
"""Batches of an evaluation that are timed."""
_NEVER: Final = 10**9

logger = logging.getLogger(__name__)


class NotMeasured(Exception):
    """Why the time of a run cannot be measured here, for people."""


def measure(found: Found, plan: RunPlan, findings: Findings) -> Timing:
    """Load the model, train for some steps and evaluate some batches: half a minute, or a few minutes where steps are long.

    The rows of a step are drawn at random, as in the run, so its first steps stand for all.

    Raises:
        NotMeasured: What could be measured would not be the run.
        TrainerError: What the run would fail with in its first steps.
    """
    if why := _elsewhere(plan, findings):
        raise NotMeasured(why)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    logger.info("measuring how long a step takes")
    prepared = load(found, plan)
    low, high = spread(steps := _timed(prepared, _NEVER).steps)
    evaluations, seconds = count_evaluations(plan, findings.steps), 0.0
    if evaluations and prepared.data.evaluation:
        size = plan.batch.evaluation_batch_size
        some = replace(prepared.data, evaluation=some_batches(prepared.data.evaluation, size))
        release_memory()
        seconds = math.ceil(found.evaluation_sequences / size) * _timed(replace(prepared, data=some), 1).batch
    return Timing(
        measured_steps=len(steps),
        cores=plan.device.cores,
        step_seconds=(low, high),
        evaluations=evaluations,
        evaluation_seconds=seconds,
        seconds=(findings.steps * low + evaluations * seconds, findings.steps * high + evaluations * seconds),
    )


def spread(seconds: Sequence[float]) -> tuple[float, float]:
    """Return between what the mean of all steps lies: two standard errors around that of these; of two steps these themselves."""
    if len(seconds) < 3:
        return min(seconds), max(seconds)
    mean, error = statistics.mean(seconds), statistics.stdev(seconds) / math.sqrt(len(seconds))
    return max(min(seconds), mean - 2 * error), min(max(seconds), mean + 2 * error)


def some_batches(examples: Examples, size: int) -> Examples:
    """Return the rows of a few batches, as many long as short ones."""
    order = evaluation_order(examples)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    chosen = batches[:: max(1, math.ceil(len(batches) / _EVALUATED))]
    return examples.select([row for batch in chosen for row in batch])


def _elsewhere(plan: RunPlan, findings: Findings) -> str | None:
    """Why steps of this run cannot be done here."""
    if not plan.device.here:
        return "the run is for GPUs that this machine does not have; its first steps will tell"
    if not is_installed(plan.config.training.engine):
        return f"engine {plan.config.training.engine} is not installed here; its first steps will tell"
    if plan.world_size > 1:
        return f"the run is of {plan.world_size} processes, which wait for each other; its first steps will tell"
    if findings.available is not None and findings.memory.total > findings.available:
        return "the memory may not be enough for a step here"
    return None


def _timed(prepared: Prepared, evaluate_after: int) -> Stopwatch:
    """Train for the clock, with an evaluation after so many steps."""
    plan = prepared.plan
    evaluation = plan.config.evaluation.model_copy(update={"strategy": "steps", "steps": evaluate_after})
    config = plan.config.model_copy(update={"evaluation": evaluation})
    timed = replace(prepared, plan=make_plan(config, plan.given, plan.device, plan.rows, plan.batch))
    engine: Engine | None = None
    with tempfile.TemporaryDirectory() as scratch:
        stopwatch = Stopwatch(Path(scratch), _clock)
        try:
            engine = make_engine(timed, stopwatch)
            engine.train(None)
        except Exception as error:
            if gpu_shortage(error):
                raise NotMeasured("the GPU's memory is not enough; the run would go on with smaller batches") from error
            if engine and (failure := explain_rows(error, engine.current_rows(), timed)):
                raise failure from error
            raise
    return stopwatch


def _clock() -> float:
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()  # steps are handed to a GPU, and done later
    return time.monotonic()
