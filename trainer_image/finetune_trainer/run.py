"""One run from start to end: prepare, train, evaluate, export."""

import logging
import platform
from importlib.metadata import version

import torch
import transformers
from transformers.utils.logging import disable_progress_bar

from finetune_api.report import ExitCode
from finetune_api.run import RunConfig
from finetune_api.status import Provenance
from finetune_trainer.checkpoints import CheckpointStore, SavedCheckpoint
from finetune_trainer.data import Rows, fingerprint, load_rows
from finetune_trainer.engines.arguments import check_arguments
from finetune_trainer.engines.trainer import STATE_FILES, Engine
from finetune_trainer.export import export_model
from finetune_trainer.failures import TrainerError
from finetune_trainer.history import History
from finetune_trainer.labels import label_names
from finetune_trainer.model import Pretrained, find_pretrained, load_classifier, load_tokenizer
from finetune_trainer.prepared import Prepared
from finetune_trainer.recorder import Recorder
from finetune_trainer.state import RunState
from finetune_trainer.stop import StopSignal
from finetune_trainer.storage import Output, Volumes, claim_output, identity, open_output
from finetune_trainer.tasks.text_classification import Examples, check_rows, longest_sequence, tokenize

logger = logging.getLogger(__name__)

_LIBRARIES = ("torch", "transformers", "datasets", "evaluate", "accelerate", "finetune-operator")


def run(config: RunConfig, volumes: Volumes, state: RunState, stop: StopSignal) -> Output:
    """Do what `config` says. A finished run is only evaluated and exported again.

    Raises:
        TrainerError: A failure that can be explained.
        Stopped: It was asked to stop; what was trained is saved.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]  # those of loading and saving would break our own
    check_arguments(config.training.arguments)
    use_cpu = choose_device(config.gpus)
    output = open_output(config, volumes)
    store = CheckpointStore(output.checkpoints, identity(config), config.checkpoints.keep)
    store.find()
    try:
        recorder = Recorder(config, output, store, History(output.history), state, stop)
        last = train(config, volumes, use_cpu, output, recorder, state)
        state.stage("Exporting", "writing the model")
        state.set_model(export_model(recorder.best() or last, output, STATE_FILES))
    finally:
        store.close()
    state.stage("Finished")
    return output


def train(
    config: RunConfig, volumes: Volumes, use_cpu: bool, output: Output, recorder: Recorder, state: RunState
) -> SavedCheckpoint:
    """Train and evaluate up to the last step. Returns its checkpoint."""
    resumed = recorder.store.newest
    recorder.resume(resumed)
    prepared = prepare(config, volumes, use_cpu, state)
    claim_output(output, config)
    recorder.store.begin()
    recorder.history.begin()
    engine = Engine(prepared, recorder)
    if resumed is None or resumed.step < engine.total_steps:
        if resumed:
            logger.info("resuming from step %d of %d", resumed.step, engine.total_steps)
        with recorder.stop.deferred():
            engine.train(resumed)
    else:
        recorder.nothing_left(resumed)
    last = recorder.store.newest
    if last is None or last.step != engine.total_steps:
        raise RuntimeError(f"training ended without a checkpoint of its last step, {engine.total_steps}")
    if prepared.evaluation and not recorder.history.evaluation_at(last.step):
        engine.evaluate(last)
    return last


def prepare(config: RunConfig, volumes: Volumes, use_cpu: bool, state: RunState) -> Prepared:
    """Everything that can be wrong with model and data comes up here, before the first step."""
    state.stage("Preparing", f"looking for model {config.model.source}")
    pretrained = find_pretrained(config.model, volumes)
    tokenizer = load_tokenizer(pretrained, config.model)

    state.stage("Preparing", f"reading data set {config.dataset.source}")
    train_rows, evaluation_rows = load_rows(config.dataset, volumes)
    columns = config.dataset.columns
    for rows in filter(None, (train_rows, evaluation_rows)):
        check_rows(rows, columns)
    names = label_names(train_rows, columns.label)
    state.set_provenance(_provenance(config, pretrained, train_rows))

    pair = columns.text_pair is not None
    longest = longest_sequence(config.preprocessing, tokenizer, pretrained.config, pair)

    def tokenized(rows: Rows) -> Examples:
        state.stage("Preparing", f"tokenizing {len(rows.positions)} rows of split {rows.split}")
        return tokenize(rows, columns, names, tokenizer, longest, config.preprocessing.truncation, pretrained.revision)

    train_examples = tokenized(train_rows)
    evaluation_examples = tokenized(evaluation_rows) if evaluation_rows else None

    state.stage("Preparing", f"loading model {config.model.source}")
    transformers.set_seed(config.training.seed)
    model = load_classifier(pretrained, config.model, names, tokenizer)
    return Prepared(config, model, tokenizer, names, train_examples, evaluation_examples, longest, use_cpu)


def choose_device(gpus: int | None) -> bool:
    """Whether to train on the CPU.

    Raises:
        TrainerError: DEVICE when a GPU was asked for and none is usable.
    """
    if gpus == 0:
        return True
    usable = torch.cuda.is_available()
    if gpus and not usable:
        raise TrainerError(
            ExitCode.DEVICE,
            "NoUsableGpu",
            f"resources.gpus is {gpus}, and torch {torch.__version__} finds no usable GPU",
            "check the node's driver and device plugin, or set resources.gpus to 0 to train on the CPU",
        )
    return not usable


def _provenance(config: RunConfig, pretrained: Pretrained, rows: Rows) -> Provenance:
    columns = config.dataset.columns
    return Provenance(
        model_revision=pretrained.revision,
        dataset_fingerprint=fingerprint(
            rows, [name for name in (columns.text, columns.text_pair, columns.label) if name]
        ),
        config_digest=config.digest(),
        versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        seed=config.training.seed,
    )
