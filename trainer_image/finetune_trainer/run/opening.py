"""Opens what a run writes to, and finds what earlier attempts have left there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_api.base import JsonObject
from finetune_api.run import RunConfig
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import processes_of
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.processes.group import Processes
from finetune_trainer.progress.history import History
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.hint import read_hint
from finetune_trainer.settings.batch_plan import BatchPlan, for_processes
from finetune_trainer.storage.claim import check_is_own
from finetune_trainer.storage.find_output import find_output
from finetune_trainer.storage.layout import HISTORY
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.uris import Volumes
from finetune_trainer.tracking.tracking import Tracking


@dataclass(frozen=True)
class Opened:
    """The output of a run, and what the run has come to. Nothing is written there before `begin_run`."""

    output: Output
    identity: JsonObject
    """Of the run, by which the output is its own."""
    progress: RunProgress
    hint: BatchPlan | None
    """What an attempt of several processes has left, which ran out of memory."""
    batch: BatchPlan
    """What this attempt begins with: the newest batches that the run has come to, shared by the processes of today."""
    tracking: Tracking


@dataclass(frozen=True)
class _Left:
    """What earlier attempts have left in the output."""

    history: str = ""
    checkpoints: list[SavedCheckpoint] = field(default_factory=list)
    saved_by: int | None = None
    """How many processes the newest checkpoint is of."""
    hint: BatchPlan | None = None


def open_run(
    config: RunConfig,
    arguments: Mapping[str, Any],
    volumes: Volumes,
    state: RunState,
    stop: StopSignal,
    processes: Processes,
    own: Path,
) -> Opened:
    """Open the output of a run with its checkpoints and its history, and go on from the newest checkpoint if there is one.

    The main process alone writes there. The others know of it, and have a history below `own`.

    Args:
        arguments: training.arguments, as `check_arguments` returns them.

    Raises:
        TrainerError: OUTPUT when it cannot be written or holds another run; INTERNAL when it cannot be reached;
            BAD_CONFIGURATION when these processes cannot share the rows of a step.
    """
    run, left = config.identity(), _Left()
    with processes.barrier():
        output = find_output(config.output.uri, run, volumes)
        if processes.is_main:
            check_is_own(output, run)
        hint = read_hint(output) if processes.is_main else None
        store = CheckpointStore(output, run, config.checkpoints.keep)
        if processes.is_main:
            state.log.keep_in(output, state.set_log)
            output.fetch_history()
            store.find()
            left = _Left(
                history=output.history.read_text(encoding="utf-8", errors="replace") if output.history.exists() else "",
                checkpoints=store.saved,
                saved_by=processes_of(store.newest.path) if store.newest else None,
                hint=hint,
            )
    left = processes.broadcast(left, _Left)
    store.adopt(left.checkpoints)
    with processes.barrier():
        if processes.local_rank == 0 and not processes.is_main:
            store.fetch_newest()
    if processes.is_main:
        history = History(output.history, output.history_changed)
    else:
        (own / HISTORY).write_text(left.history, encoding="utf-8")
        history = History(own / HISTORY)
    tracking = Tracking(config, output, history, state)
    asked = BatchPlan.from_settings(config.training.batch_size, arguments)
    progress = RunProgress.of(config, asked, output, store, history, state, stop, processes)
    progress.resume()
    batch = left.hint or progress.adjustments.batch
    before = batch.processes or left.saved_by or processes.count
    return Opened(output, run, progress, left.hint, for_processes(batch, before, processes.count), tracking)
