"""One run from start to end: prepare, train, evaluate, export."""

import gc
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import processes_of
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.engines.engine import Engine, Prepared
from finetune_trainer.engines.registry import ENGINES, make_engine
from finetune_trainer.processes.group import Processes
from finetune_trainer.progress.history import History
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.progress.state import RunState
from finetune_trainer.run import hint as handover
from finetune_trainer.run.check import check_settings
from finetune_trainer.run.export import export_model
from finetune_trainer.run.failing_rows import explain_rows
from finetune_trainer.run.load import find, fingerprints, load, load_model
from finetune_trainer.run.memory_estimate import estimate_memory, sizes_of
from finetune_trainer.run.merged_model import tell_merged
from finetune_trainer.run.out_of_memory import Need, gpu_shortage, left_for_next, nothing_smaller
from finetune_trainer.run.preflight.foretell import foretell, tell
from finetune_trainer.settings.batch_plan import BatchPlan, describe, for_processes, in_processes, smaller
from finetune_trainer.settings.device import find_device
from finetune_trainer.settings.run_plan import make_plan
from finetune_trainer.storage.claim import check_same_rows, claim_output, find_output, identity, open_output
from finetune_trainer.storage.layout import HISTORY
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.uris import Volumes

logger = logging.getLogger(__name__)


def run(config: RunConfig, volumes: Volumes, state: RunState, stop: StopSignal) -> Output:
    """Do what `config` says. A finished run is only evaluated and exported again.

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
            last, prepared = train(config, volumes, use_cpu, output, progress, state, processes)
            state.stage("Exporting", "writing the model")
            with processes.together():
                if processes.main:
                    chosen = progress.checkpointing.fetch_best() or last
                    model = export_model(chosen, prepared, output, progress.history.results_at(chosen.step))
                    output.publish_models()
                    state.set_model(model)
                    tell_merged(prepared, output, progress, chosen.step)
                    progress.checkpointing.rotate()  # once more: the last evaluation came after the last save
        finally:
            store.close()
    state.stage("Finished")
    return output


def _open(
    config: RunConfig, volumes: Volumes, processes: Processes, own: Path
) -> tuple[Output, CheckpointStore, History]:
    """Where the run is written. The main process alone does that; the others, with a history below `own`, know of it."""
    with processes.together():
        output = open_output(config, volumes) if processes.main else find_output(config, volumes)
        store = CheckpointStore(output, identity(config), config.checkpoints.keep)
        if processes.main:
            output.fetch_history()
            store.find()
    store.adopt(processes.from_main(store.saved))
    there = processes.main and output.history.exists()
    lines = processes.from_main(output.history.read_bytes() if there else b"")
    with processes.together():
        if processes.local_rank == 0 and not processes.main:
            store.fetch_newest()
    if processes.main:
        return output, store, History(output.history, output.history_changed)
    (own / HISTORY).write_bytes(lines)
    return output, store, History(own / HISTORY)


def train(
    config: RunConfig,
    volumes: Volumes,
    use_cpu: bool,
    output: Output,
    progress: RunProgress,
    state: RunState,
    processes: Processes,
) -> tuple[SavedCheckpoint, Prepared]:
    """Train and evaluate up to the last step, with less in memory at a time where a GPU has not enough.

    Returns:
        The checkpoint of the last step, and what was trained.
    """
    progress.resume()
    _same_rows(progress, processes)  # before anything is read
    prepared, rows = _prepare(config, volumes, use_cpu, output, progress, state, processes)
    with processes.together():
        if processes.main:
            claim_output(output, config, rows)
            progress.store.begin()
        progress.history.begin()
    _take_over(output, progress, processes)
    if (batch := _same_rows(progress, processes)) != progress.adjustments.batch:
        progress.adjustments.change(batch, progress.store.newest)
    while True:
        ended = attempt(replace(prepared, plan=prepared.plan.with_batch(progress.adjustments.batch)), progress)
        if isinstance(ended, SavedCheckpoint):
            return ended, prepared
        less = _smaller(ended, progress.adjustments.batch, prepared)
        if processes.count > 1:
            handover.leave(output, less)
            raise left_for_next(ended.said, describe(progress.adjustments.batch, less))
        progress.checkpointing.wait()
        progress.rewind()
        progress.history.begin()
        progress.adjustments.change(less, progress.store.newest)
        load = _loading(prepared)
        del prepared  # its memory must be free before the model is loaded again
        prepared = load()


def _prepare(
    config: RunConfig,
    volumes: Volumes,
    use_cpu: bool,
    output: Output,
    progress: RunProgress,
    state: RunState,
    processes: Processes,
) -> tuple[Prepared, JsonObject]:
    """Check everything and say what the run will be, before a weight is read; then load the model.

    Returns:
        What is trained, and the fingerprints of its rows.
    """
    found = processes.in_turn(lambda: find(config, volumes, use_cpu, state))
    device = find_device(use_cpu, config.processes)
    plan = make_plan(config, device, found.sequences, _same_rows(progress, processes))
    with processes.together():
        if processes.main:
            check_same_rows(output, lambda: fingerprints(found))
            tell(foretell(found, plan, output, fresh=progress.store.newest is None), state)
    return processes.in_turn(lambda: load(found, plan, state)), fingerprints(found)


def _take_over(output: Output, progress: RunProgress, processes: Processes) -> None:
    """Begin with less in memory at a time, where an attempt of several processes ran out of it."""
    with processes.together():
        found = handover.left(output) if processes.main else None
    batch = processes.from_main(found)
    if batch and batch != progress.adjustments.batch:
        progress.adjustments.change(batch, progress.store.newest)
    with processes.together():
        if batch and processes.main:
            handover.clear(output)


def _same_rows(progress: RunProgress, processes: Processes) -> BatchPlan:
    """What gives a step the rows that it had, where another number of processes goes on with the run.

    Raises:
        TrainerError: BAD_CONFIGURATION where they cannot be dealt out evenly: the run would go on at other rows.
    """
    newest, batch = progress.store.newest, progress.adjustments.batch
    there = processes_of(newest.path) if newest else processes.count
    before: int = processes.from_main(batch.processes or there)
    same = for_processes(batch, before, processes.count)
    if same is None:
        raise bad_configuration(
            f"resources: the checkpoint is of {in_processes(before)}, with {batch.batch_size * batch.accumulation * before} rows in a "
            f"step, which {in_processes(processes.count)} cannot share evenly",
            f"go on with {in_processes(before)} (resources.gpus, resources.nodes and processesPerNode), or with a number that "
            "divides these rows, or begin anew with another output.uri",
            Reason.OTHER_PROCESSES,
        )
    return same


@dataclass(frozen=True)
class Shortage:
    """A GPU ran out of memory."""

    said: str
    """CUDA's own words, with the sizes."""
    evaluating: bool


def attempt(prepared: Prepared, progress: RunProgress) -> SavedCheckpoint | Shortage:
    """Train and evaluate from the newest checkpoint, or from the pretrained model, up to the last step."""
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
        # Only the words are kept: the error holds the frames, and with them what fills the memory.
        said = gpu_shortage(error)
        if said is None:
            if engine and (failure := explain_rows(error, engine.at_hand(), prepared)):
                raise failure from error
            raise
        return Shortage(said, evaluating=progress.recorder.is_evaluating)
    return last


def _is_done(last: SavedCheckpoint, total_steps: int, prepared: Prepared, progress: RunProgress) -> bool:
    """Whether no step comes after `last`, and it is evaluated."""
    evaluated = prepared.data.evaluation is None or progress.recorder.is_evaluated(last.step)
    return evaluated and progress.is_over(last.step, total_steps)


def _smaller(shortage: Shortage, batch: BatchPlan, prepared: Prepared) -> BatchPlan:
    """What takes less memory than `batch`.

    Raises:
        TrainerError: OUT_OF_MEMORY when nothing is left to try.
    """
    can_checkpoint = (
        ENGINES[prepared.plan.config.training.engine].supports("activation_checkpointing")
        and prepared.model.supports_gradient_checkpointing
    )
    less = smaller(batch, shortage.evaluating, can_checkpoint)
    if less is None:
        raise nothing_smaller(
            shortage.said, shortage.evaluating, batch.activation_checkpointing, _need(batch, prepared)
        )
    return less


def _need(batch: BatchPlan, prepared: Prepared) -> Need:
    sizes, longest = sizes_of(prepared.model), max(prepared.data.train.lengths)
    memory = estimate_memory(sizes, prepared.plan.with_batch(batch), longest)
    return Need(sizes.parameters, sizes.trained, longest, memory.total)


def _loading(prepared: Prepared) -> Callable[[], Prepared]:
    """Prepares the same with the model as it was before any step. Holds nothing of the model that `prepared` has."""
    plan, pretrained, tokenizer, data = prepared.plan, prepared.pretrained, prepared.tokenizer, prepared.data

    def load() -> Prepared:
        gc.collect()
        torch.cuda.empty_cache()
        return Prepared(plan, pretrained, load_model(plan, data, pretrained), tokenizer, data)

    return load
