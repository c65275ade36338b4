"""Opens what a run writes to, and finds what earlier attempts have left there."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import processes_of
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.processes.group import Processes
from finetune_trainer.progress.history import History
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.out_of_memory import clear_hint, read_hint
from finetune_trainer.settings.batch_plan import BatchPlan, for_processes, in_processes
from finetune_trainer.storage.claim import claim_output, find_output, open_output
from finetune_trainer.storage.layout import HISTORY
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.uris import Volumes


@dataclass(frozen=True)
class Opened:
    """The output of a run, and what the run has come to. Nothing is written there before `begin`."""

    output: Output
    identity: JsonObject
    """Of the run, by which the output is its own."""
    progress: RunProgress
    hint: BatchPlan | None
    """What an attempt of several processes has left, which ran out of memory."""
    batch: BatchPlan
    """What this attempt begins with: the newest batches that the run has come to, shared by the processes of today."""

    def begin(self, rows: JsonObject, processes: Processes) -> None:
        """Begin to write to the output: from here on it is this run's, and its history says what it goes on with.

        Args:
            rows: Fingerprints of the rows that are trained and evaluated on.

        Raises:
            TrainerError: OUTPUT when another run was faster.
        """
        progress, adjustments = self.progress, self.progress.adjustments
        with processes.barrier():
            if processes.is_main:
                claim_output(self.output, self.identity, rows)
                progress.store.begin()
            progress.history.begin()
        for batch in filter(None, (self.hint, self.batch)):
            if batch != adjustments.batch:
                adjustments.change(batch, progress.store.newest)
        with processes.barrier():
            if self.hint and processes.is_main:
                clear_hint(self.output)


@contextmanager
def opened(
    config: RunConfig, volumes: Volumes, state: RunState, stop: StopSignal, processes: Processes
) -> Iterator[Opened]:
    """Open the output of a run with its checkpoints and its history, and go on from the newest checkpoint if there is one.

    The main process alone writes there. The others know of it, and each has a history in a folder of its own.

    Raises:
        TrainerError: OUTPUT when it cannot be written or holds another run; INTERNAL when it cannot be reached;
            BAD_CONFIGURATION when these processes cannot share the rows of a step.
    """
    run, left = config.identity(), None
    with processes.barrier():
        output = (open_output if processes.is_main else find_output)(config.output.uri, run, volumes)
        store = CheckpointStore(output, run, config.checkpoints.keep)
        if processes.is_main:
            output.fetch_history()
            store.find()
            left = read_hint(output)
    try:
        with _shared_history(output, processes) as history:
            store.adopt(processes.broadcast(store.saved, list[SavedCheckpoint]))
            hint = processes.broadcast(left, BatchPlan | None)
            with processes.barrier():
                if processes.local_rank == 0 and not processes.is_main:
                    store.fetch_newest()
            progress = RunProgress.of(config, output, store, history, state, stop, processes)
            progress.resume()
            yield Opened(output, run, progress, hint, _batch(hint, progress, processes))
    finally:
        store.close()


@contextmanager
def _shared_history(output: Output, processes: Processes) -> Iterator[History]:
    """The history that the main process has, for each a file of its own but for the main one."""
    exists = processes.is_main and output.history.exists()
    lines = processes.broadcast_bytes(output.history.read_bytes() if exists else b"")
    if processes.is_main:
        yield History(output.history, output.history_changed)
        return
    with tempfile.TemporaryDirectory() as own:
        path = Path(own) / HISTORY
        path.write_bytes(lines)
        yield History(path)


def _batch(hint: BatchPlan | None, progress: RunProgress, processes: Processes) -> BatchPlan:
    """Return the batch plan that gives a step the rows that it had, where another number of processes resumes the run.

    Raises:
        TrainerError: BAD_CONFIGURATION where they cannot be dealt out evenly: the run would go on at other rows.
    """
    newest, batch = progress.store.newest, hint or progress.adjustments.batch
    saved_by = processes_of(newest.path) if newest else processes.count
    before: int = processes.broadcast(batch.processes or saved_by, int)
    same = for_processes(batch, before, processes.count)
    if same is None:
        raise bad_configuration(
            f"resources: the checkpoint is of {in_processes(before)}, with {batch.batch_size * batch.accumulation * before} rows in a "
            f"step, which {in_processes(processes.count)} cannot share evenly",
            f"go on with {in_processes(before)} (resources.gpus, resources.nodes and processesPerNode), or with a number that "
            "divides these rows, or start over with another output.uri",
            Reason.OTHER_PROCESSES,
        )
    return same
