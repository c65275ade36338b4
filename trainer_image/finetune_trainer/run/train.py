"""One run from start to end: check, load, train, export."""

import logging
import tempfile
from dataclasses import replace
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import processes_of
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.engines.engine import Engine, Prepared
from finetune_trainer.engines.registry import make_engine
from finetune_trainer.processes.group import Processes
from finetune_trainer.progress.history import History
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.check import check_settings
from finetune_trainer.run.export import export_model
from finetune_trainer.run.failing_rows import explain_rows
from finetune_trainer.run.load import Found, find, fingerprints, load
from finetune_trainer.run.merged_model import report_merged
from finetune_trainer.run.out_of_memory import (
    Shortage,
    clear_hint,
    ended_for_hint,
    gpu_shortage,
    read_hint,
    release_memory,
    smaller_batch,
    write_hint,
)
from finetune_trainer.run.preflight.estimate import estimate_run, report_findings
from finetune_trainer.settings.batch_plan import BatchPlan, for_processes, in_processes
from finetune_trainer.settings.device import find_device
from finetune_trainer.settings.run_plan import RunPlan, make_plan
from finetune_trainer.storage import kept_downloads
from finetune_trainer.storage.claim import check_same_rows, claim_output, find_output, identity, open_output
from finetune_trainer.storage.layout import HISTORY
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.uris import Volumes

logger = logging.getLogger(__name__)


def run(config: RunConfig, volumes: Volumes, state: RunState, stop: StopSignal) -> Output:
    """Run what `config` asks for. A finished run is only evaluated and exported again.

    Raises:
        TrainerError: A failure that can be explained.
        Stopped: It was asked to stop; what was trained is saved.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]  # those of loading and saving would break our own
    use_cpu = check_settings(config)
    with Processes.joined(use_cpu) as processes, tempfile.TemporaryDirectory() as own:
        if processes.count > 1:
            stop.agree_by(processes.any)
        output, store, history = _open(config, volumes, processes, Path(own))
        try:
            progress = RunProgress.of(config, output, store, history, state, stop, processes)
            progress.resume()
            batch = _batch_for(processes, progress)  # before anything is read
            found = processes.local_main_first(lambda: find(config, volumes, use_cpu, state))
            plan = make_plan(config, find_device(use_cpu, config.processes), found.sequences, batch)
            with processes.barrier():
                if processes.is_main:
                    check_same_rows(output, lambda: fingerprints(found))
                    report_findings(estimate_run(found, plan, output, fresh=store.newest is None), state)
            last, prepared = train(found, plan, output, progress, processes)
            state.stage("Exporting", "writing the model")  # of all processes, which wait for the main one
            with processes.barrier():
                if processes.is_main:
                    _export(last, prepared, output, progress)
        finally:
            store.close()
    state.stage("Finished")
    return output


def _open(
    config: RunConfig, volumes: Volumes, processes: Processes, own: Path
) -> tuple[Output, CheckpointStore, History]:
    """Open where the run is written: its output, checkpoints and history.

    The main process alone writes there. The others know of it, and have a history below `own`.
    """
    with processes.barrier():
        output = open_output(config, volumes) if processes.is_main else find_output(config, volumes)
        store = CheckpointStore(output, identity(config), config.checkpoints.keep)
        if processes.is_main:
            output.fetch_history()
            store.find()
    store.adopt(processes.broadcast(store.saved, list[SavedCheckpoint]))
    exists = processes.is_main and output.history.exists()
    lines = processes.broadcast_bytes(output.history.read_bytes() if exists else b"")
    with processes.barrier():
        if processes.local_rank == 0 and not processes.is_main:
            store.fetch_newest()
    if processes.is_main:
        return output, store, History(output.history, output.history_changed)
    (own / HISTORY).write_bytes(lines)
    return output, store, History(own / HISTORY)


def _batch_for(processes: Processes, progress: RunProgress) -> BatchPlan:
    """Return the batch plan that gives a step the rows that it had, where another number of processes resumes the run.

    Raises:
        TrainerError: BAD_CONFIGURATION where they cannot be dealt out evenly: the run would go on at other rows.
    """
    newest, batch = progress.store.newest, progress.adjustments.batch
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


def train(
    found: Found, plan: RunPlan, output: Output, progress: RunProgress, processes: Processes
) -> tuple[SavedCheckpoint, Prepared]:
    """Load the model, train and evaluate up to the last step, with smaller batches where a GPU has not enough memory.

    Returns:
        The checkpoint of the last step, and what was trained.
    """
    progress.state.stage("Preparing", f"loading model {plan.config.model.source}")
    prepared = processes.local_main_first(lambda: load(found, plan))
    _claim(output, found, plan, progress, processes)
    _keep_downloads(progress, processes)
    _take_over(output, progress, processes)
    prepared = replace(prepared, plan=plan.with_batch(progress.adjustments.batch))
    while True:
        ended = attempt(prepared, progress)
        if isinstance(ended, SavedCheckpoint):
            return ended, prepared
        batch = smaller_batch(ended, prepared)
        if processes.count > 1:
            write_hint(output, batch)
            raise ended_for_hint(ended, prepared.plan.batch, batch)
        progress.checkpointing.wait()
        progress.state.stage("Preparing", "loading the model again")
        progress.rewind()
        progress.history.begin()
        progress.adjustments.change(batch, progress.store.newest)
        del prepared  # its memory must be free before the model is loaded again
        release_memory()
        prepared = load(found, plan.with_batch(batch))


def _claim(output: Output, found: Found, plan: RunPlan, progress: RunProgress, processes: Processes) -> None:
    """Begin to write to the output: from here on it is this run's."""
    with processes.barrier():
        if processes.is_main:
            claim_output(output, plan.config, fingerprints(found))
            progress.store.begin()
        progress.history.begin()


def _keep_downloads(progress: RunProgress, processes: Processes) -> None:
    """Leave what was downloaded to the job's next attempts, where its own volume has room beside what the run writes."""
    expected = progress.state.current.preflight
    if processes.is_main:
        kept_downloads.leave(reserved=(expected and expected.output_bytes) or 0)


def _take_over(output: Output, progress: RunProgress, processes: Processes) -> None:
    """Begin with the batches of a hint, where an attempt of several processes ran out of memory, and of as many rows."""
    with processes.barrier():
        hint = read_hint(output) if processes.is_main else None
    hint = processes.broadcast(hint, BatchPlan | None)
    if hint and hint != progress.adjustments.batch:
        progress.adjustments.change(hint, progress.store.newest)
    with processes.barrier():
        if hint and processes.is_main:
            clear_hint(output)
    if (batch := _batch_for(processes, progress)) != progress.adjustments.batch:
        progress.adjustments.change(batch, progress.store.newest)


def attempt(prepared: Prepared, progress: RunProgress) -> SavedCheckpoint | Shortage:
    """Train and evaluate from the newest checkpoint, or from the pretrained model, up to the last step.

    Returns:
        The checkpoint of the last step; or what a GPU's memory was not enough for.
    """
    resumed = progress.store.newest
    engine: Engine | None = None
    try:
        engine = make_engine(prepared, progress.recorder)
        if resumed and _is_done(resumed, engine.total_steps, prepared, progress):
            progress.nothing_left(resumed)
        else:
            if resumed:
                logger.info("resuming from step %d of %d", resumed.step, engine.total_steps)
            with progress.stop.deferred():
                engine.train(resumed)
                progress.checkpointing.wait()
        last = progress.store.newest
        if last is None or not _is_done(last, engine.total_steps, prepared, progress):
            raise RuntimeError(f"training ended before its last step, {engine.total_steps}, was saved and evaluated")
    except Exception as error:
        if (message := gpu_shortage(error)) is not None:
            return Shortage(message, evaluating=progress.recorder.is_evaluating)
        progress.state.heartbeat.stage("Preparing", "looking for the rows that it failed at")
        if engine and (failure := explain_rows(error, engine.current_rows(), prepared)):
            raise failure from error
        raise
    return last


def _is_done(last: SavedCheckpoint, total_steps: int, prepared: Prepared, progress: RunProgress) -> bool:
    """Return whether no step comes after `last`, and it is evaluated."""
    evaluated = prepared.data.evaluation is None or progress.recorder.is_evaluated(last.step)
    return evaluated and progress.is_over(last.step, total_steps)


def _export(last: SavedCheckpoint, prepared: Prepared, output: Output, progress: RunProgress) -> None:
    """Write the model of the best checkpoint, or of the last one, to the output."""
    chosen = progress.checkpointing.fetch_best() or last
    model = export_model(chosen, prepared, output, progress.history.results_at(chosen.step))
    output.publish_models()
    progress.state.set_model(model)
    report_merged(prepared, output, progress, chosen.step)
    progress.checkpointing.rotate()  # once more: the last evaluation came after the last save
