"""One run from start to end: prepare, train, evaluate, export."""

import logging

from transformers.utils.logging import disable_progress_bar

from finetune_api.run import RunConfig
from finetune_trainer.checkpoints import CheckpointStore, SavedCheckpoint
from finetune_trainer.engines import make_engine
from finetune_trainer.engines.arguments import check_arguments
from finetune_trainer.engines.keras_arguments import check_keras
from finetune_trainer.export import export_model
from finetune_trainer.history import History
from finetune_trainer.lora import check_lora
from finetune_trainer.prepared import Prepared
from finetune_trainer.preparing import choose_device, prepare
from finetune_trainer.recorder import Recorder
from finetune_trainer.state import RunState
from finetune_trainer.stop import StopSignal
from finetune_trainer.storage import Output, Volumes, claim_output, identity, open_output

logger = logging.getLogger(__name__)


def run(config: RunConfig, volumes: Volumes, state: RunState, stop: StopSignal) -> Output:
    """Do what `config` says. A finished run is only evaluated and exported again.

    Raises:
        TrainerError: A failure that can be explained.
        Stopped: It was asked to stop; what was trained is saved.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]  # those of loading and saving would break our own
    check_arguments(config.training.arguments)
    check_lora(config)
    use_cpu = choose_device(config.gpus)
    if config.training.engine == "keras":
        check_keras(config, use_cpu)
    output = open_output(config, volumes)
    store = CheckpointStore(output.checkpoints, identity(config), config.checkpoints.keep)
    store.find()
    try:
        recorder = Recorder(config, output, store, History(output.history), state, stop)
        last, prepared = train(config, volumes, use_cpu, output, recorder, state)
        state.stage("Exporting", "writing the model")
        state.set_model(export_model(recorder.best() or last, prepared, output))
    finally:
        store.close()
    state.stage("Finished")
    return output


def train(
    config: RunConfig, volumes: Volumes, use_cpu: bool, output: Output, recorder: Recorder, state: RunState
) -> tuple[SavedCheckpoint, Prepared]:
    """Train and evaluate up to the last step. Returns its checkpoint, and what was trained."""
    resumed = recorder.store.newest
    recorder.resume(resumed)
    prepared = prepare(config, volumes, use_cpu, state)
    claim_output(output, config)
    recorder.store.begin()
    recorder.history.begin()
    engine = make_engine(prepared, recorder)
    if resumed and recorder.is_over(resumed.step, engine.total_steps):
        recorder.nothing_left(resumed)
    else:
        if resumed:
            logger.info("resuming from step %d of %d", resumed.step, engine.total_steps)
        with recorder.stop.deferred():
            engine.train(resumed)
            recorder.check_saved()
    last = recorder.store.newest
    if last is None or not recorder.is_over(last.step, engine.total_steps):
        raise RuntimeError(f"training ended without a checkpoint of its last step, {engine.total_steps}")
    if prepared.data.evaluation and not recorder.history.evaluation_at(last.step):
        engine.evaluate(last)
    return last, prepared
