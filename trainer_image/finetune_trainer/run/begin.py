"""Begins to write to the output: from here on it is this run's, and its history says what the run goes on with."""

from finetune_api.base import JsonObject
from finetune_trainer.processes.group import Processes
from finetune_trainer.run.hint import clear_hint
from finetune_trainer.run.opening import Opened
from finetune_trainer.storage.claim import claim_output


def begin_run(opened: Opened, rows: JsonObject, processes: Processes) -> None:
    """Claim the output that was opened, and write there what the run goes on with.

    Args:
        rows: Fingerprints of the rows that are trained and evaluated on.

    Raises:
        TrainerError: OUTPUT when another run was faster.
    """
    progress, adjustments = opened.progress, opened.progress.adjustments
    with processes.barrier():
        if processes.is_main:
            claim_output(opened.output, opened.identity, rows)
            progress.store.begin()
        progress.history.begin()
        if processes.is_main:
            opened.tracking.begin()
    for batch in filter(None, (opened.hint, opened.batch)):
        if batch != adjustments.batch:
            adjustments.change(batch, progress.store.newest)
    with processes.barrier():
        if opened.hint and processes.is_main:
            clear_hint(opened.output)
