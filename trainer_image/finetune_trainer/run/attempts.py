"""Trains up to the last step: once more with smaller batches where a GPU's memory is not enough."""

import logging

from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.engines.engine import Engine, Prepared
from finetune_trainer.engines.registry import make_engine
from finetune_trainer.processes.group import Processes
from finetune_trainer.progress.pace import completed
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.run.failing_rows import explain_rows
from finetune_trainer.run.find import Found
from finetune_trainer.run.load import load
from finetune_trainer.run.opening import Opened
from finetune_trainer.run.out_of_memory import Shortage, gpu_shortage, release_memory, smaller_batch
from finetune_trainer.settings.run_plan import RunPlan
from finetune_trainer.storage import kept_downloads

logger = logging.getLogger(__name__)


def train(found: Found, plan: RunPlan, opened: Opened, processes: Processes) -> tuple[SavedCheckpoint, Prepared]:
    """Load the model, train and evaluate up to the last step, with smaller batches where a GPU has not enough memory.

    Returns:
        The checkpoint of the last step, and what was trained.
    """
    progress = opened.progress
    progress.state.stage("Preparing", f"loading model {plan.config.model.source}")
    prepared = processes.local_main_first(lambda: load(found, plan))
    opened.begin(found.fingerprints, processes)
    if processes.is_main:
        # Where the job's own volume has room for them beside what the run writes.
        expected = progress.state.current.preflight
        kept_downloads.leave(reserved=(expected and expected.output_bytes) or 0)
    while isinstance(ended := attempt(prepared, progress), Shortage):
        batch = smaller_batch(ended, prepared, opened.output)
        progress.checkpointing.wait()
        progress.state.stage("Preparing", "loading the model again")
        progress.rewind()
        progress.history.begin()
        progress.adjustments.change(batch, progress.store.newest)
        del prepared  # its memory must be free before the model is loaded again
        release_memory()
        prepared = load(found, plan.with_batch(batch))
    return ended, prepared


def attempt(prepared: Prepared, progress: RunProgress) -> SavedCheckpoint | Shortage:
    """Train and evaluate from the newest checkpoint, or from the pretrained model, up to the last step.

    Returns:
        The checkpoint of the last step; or what a GPU's memory was not enough for.
    """
    resumed = progress.store.newest
    engine: Engine | None = None
    try:
        engine = make_engine(prepared, progress.recorder)
        evaluates = prepared.data.evaluation is not None
        if resumed and progress.is_done(resumed, engine.total_steps, evaluates=evaluates):
            progress.state.set_progress(completed(resumed.step, resumed.epoch))
        else:
            if resumed:
                logger.info("resuming from step %d of %d", resumed.step, engine.total_steps)
            with progress.stop.deferred():
                engine.train(resumed)
                progress.checkpointing.wait()
        last = progress.store.newest
        if last is None or not progress.is_done(last, engine.total_steps, evaluates=evaluates):
            raise RuntimeError(f"training ended before its last step, {engine.total_steps}, was saved and evaluated")
    except Exception as error:
        if (message := gpu_shortage(error)) is not None:
            return Shortage(message, evaluating=progress.recorder.is_evaluating)
        progress.state.heartbeat.stage("Preparing", "looking for the rows that it failed at")
        if engine and (failure := explain_rows(error, engine.current_rows(), prepared)):
            raise failure from error
        raise
    return last
