"""Trains a model that is loaded, from the newest checkpoint up to the last step."""

import logging

from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.engines.engine import Engine, Prepared
from finetune_trainer.engines.registry import make_engine
from finetune_trainer.progress.pace import completed
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.run.failed_step import explain_rows
from finetune_trainer.run.out_of_memory import Shortage, gpu_shortage

logger = logging.getLogger(__name__)


def train_to_last_step(prepared: Prepared, progress: RunProgress) -> SavedCheckpoint | Shortage:
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
