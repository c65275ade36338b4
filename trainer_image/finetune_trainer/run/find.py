"""Finds model and data of the settings. Everything that can be wrong with them comes up here, before the first step."""

from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.base import JsonObject
from finetune_api.run import RunConfig
from finetune_trainer.data.load_rows import load_rows
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.sampling import sample_rows
from finetune_trainer.data.shared_rows import warn_of_shared_rows
from finetune_trainer.data.task_data import TaskData
from finetune_trainer.data.tokenizing import as_loaded
from finetune_trainer.models.adapter_check import check_adapter
from finetune_trainer.models.failures import model_failures
from finetune_trainer.models.pretrained import Pretrained, find_pretrained
from finetune_trainer.models.quantized import check_quantization
from finetune_trainer.models.tokenizer import load_tokenizer, tokenizer_limit, tokenizer_panics
from finetune_trainer.models.vocabulary import check_vocabulary
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.provenance import provenance
from finetune_trainer.storage import kept_downloads
from finetune_trainer.storage.uris import Volumes
from finetune_trainer.tasks.registry import PEFT_TYPES, task_named
from finetune_trainer.tasks.task import Inputs, prepare


@dataclass(frozen=True)
class Found:
    """Model and data of a run, found and checked; no weight is loaded yet."""

    pretrained: Pretrained
    tokenizer: Tokenizer
    train: Rows
    """All training rows."""
    evaluation: Rows | None
    taken: int
    """How many training rows `data` was made of."""
    evaluation_taken: int
    """How many rows to evaluate on it was made of."""
    data: TaskData

    @property
    def sequences(self) -> int:
        """Rows that are trained on, where texts are packed fewer than there are; of a sample by its share."""
        return round(len(self.data.train.lengths) * len(self.train.dataset) / self.taken)

    @property
    def evaluation_sequences(self) -> int:
        """As `sequences`, of the rows that are evaluated on."""
        if self.data.evaluation is None or self.evaluation is None:
            return 0
        return round(len(self.data.evaluation.lengths) * len(self.evaluation.dataset) / self.evaluation_taken)

    @cached_property
    def fingerprints(self) -> JsonObject:
        """Of the rows that are trained and evaluated on, in the columns that are read, and the model's revision. Reads all
        rows."""
        columns = self.data.columns
        return {
            "columns": sorted(columns),
            "training": self.train.fingerprint(columns),
            "evaluation": self.evaluation.fingerprint(columns) if self.evaluation else None,
            "model": self.pretrained.revision,
        }


def find(config: RunConfig, volumes: Volumes, use_cpu: bool, state: RunState, most: int | None = None) -> Found:
    """Find and check model and data, and tokenize the rows: all of them, or of each split a sample of about `most`.

    Raises:
        TrainerError: With the reason, what is wrong, and what to do about it.
    """

    def report(message: str) -> None:
        state.stage("Preparing", message)

    kept_downloads.fetch()
    report(f"looking for model {config.model.source}")
    pretrained, tokenizer = find_model(config, volumes)
    report(f"reading data set {config.dataset.source}")
    train, evaluation = load_rows(config.dataset, volumes)
    task, some, some_more = task_named(config.task), train, evaluation
    if most is not None:
        column = task.label_column(config)
        some = sample_rows(train, most, column)
        some_more = sample_rows(evaluation, most, column) if evaluation else None
    with as_loaded(tokenizer), tokenizer_panics(config.model.source):
        data = prepare(task, Inputs(config, pretrained, tokenizer, some, some_more, use_cpu, report))
    if evaluation:
        warn_of_shared_rows(train, evaluation, [name for name in data.columns if name != task.label_column(config)])
    taken = len(some.dataset), len(some_more.dataset) if some_more else 0
    found = Found(pretrained, tokenizer, train, evaluation, *taken, data)
    if most is None:  # the fingerprint is of all rows
        fingerprint = str(found.fingerprints["training"])
        state.set_provenance(provenance(config, pretrained, train.revision, fingerprint))
    return found


def find_model(config: RunConfig, volumes: Volumes) -> tuple[Pretrained, Tokenizer]:
    """The model that the run begins with, none of its weights read, and its tokenizer.

    Raises:
        TrainerError: MODEL when it cannot be used, or BAD_CONFIGURATION when it cannot be trained as it is asked for.
    """
    source, lora = config.model.source, config.training.lora
    pretrained = find_pretrained(config.model, volumes)
    check_quantization(pretrained.config, source, again=lora is not None and lora.quantization is not None)
    if pretrained.adapter:
        check_adapter(pretrained.adapter, lora, config.task, PEFT_TYPES)
    with tokenizer_panics(source):
        with model_failures(config.model), tokenizer_limit("it is not loaded"):
            tokenizer = load_tokenizer(pretrained, source)
        check_vocabulary(tokenizer, pretrained.embeddings, source)
    return pretrained, tokenizer
