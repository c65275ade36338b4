"""Trains up to the last step: once more with smaller batches where a GPU's memory is not enough."""

from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.processes.group import Processes
from finetune_trainer.run.begin import begin_run
from finetune_trainer.run.find import Found
from finetune_trainer.run.load import load
from finetune_trainer.run.opening import Opened
from finetune_trainer.run.out_of_memory import Shortage, release_memory, smaller_batch
from finetune_trainer.run.to_last_step import train_to_last_step
from finetune_trainer.settings.run_plan import RunPlan
from finetune_trainer.storage import kept_downloads


def train(found: Found, plan: RunPlan, opened: Opened, processes: Processes) -> tuple[SavedCheckpoint, Prepared]:
    """Load the model, train and evaluate up to the last step, with smaller batches where a GPU has not enough memory.

    Returns:
        The checkpoint of the last step, and what was trained.
    """
    progress = opened.progress
    progress.state.stage("Preparing", f"loading model {plan.config.model.source}")
    prepared = processes.local_main_first(lambda: load(found, plan))
    begin_run(opened, found.fingerprints, processes)
    if processes.is_main:
        # Where the job's own volume has room for them beside what the run writes.
        expected = progress.state.current.preflight
        kept_downloads.leave(reserved=(expected and expected.output_bytes) or 0)
    while isinstance(ended := train_to_last_step(prepared, progress), Shortage):
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
