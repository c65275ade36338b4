"""From settings to model and data. Everything that can be wrong with them comes up here, before the first step."""

import logging
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

import transformers
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.base import JsonObject
from finetune_api.run import RunConfig
from finetune_api.status import Provenance
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.hardware import version_of
from finetune_trainer.data.rows import Rows, load_rows
from finetune_trainer.data.sampling import sample_rows
from finetune_trainer.data.task_data import TaskData
from finetune_trainer.data.tokenizing import as_loaded
from finetune_trainer.data.vocabulary import check_vocabulary
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.engines.registry import ENGINES
from finetune_trainer.models.adapter_source import check_adapter
from finetune_trainer.models.lora import load_adapted
from finetune_trainer.models.pretrained import Pretrained, find_pretrained
from finetune_trainer.models.quantized import check_quantization
from finetune_trainer.models.tokenizer import load_tokenizer
from finetune_trainer.progress.state import RunState
from finetune_trainer.settings.run_plan import RunPlan
from finetune_trainer.storage import kept_downloads
from finetune_trainer.storage.uris import Volumes, is_hub_id
from finetune_trainer.tasks.registry import PEFT_TYPES, TASKS, task_named
from finetune_trainer.tasks.task import Inputs, prepare

if TYPE_CHECKING:
    from peft import PeftModel

logger = logging.getLogger(__name__)

_LIBRARIES = ("torch", "transformers", "datasets", "evaluate", "accelerate", "finetune-operator")


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
    data: TaskData

    @property
    def sequences(self) -> int:
        """Rows that are trained on, where texts are packed fewer than there are; of a sample by its share."""
        return round(len(self.data.train.lengths) * len(self.train.dataset) / self.taken)


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
    with as_loaded(tokenizer):
        data = prepare(task, Inputs(config, pretrained, tokenizer, some, some_more, use_cpu, report))
    if most is None:  # the fingerprint is of all rows
        state.set_provenance(_provenance(config, pretrained, train, data.columns))
    return Found(pretrained, tokenizer, train, evaluation, len(some.dataset), data)


def fingerprints(found: Found) -> JsonObject:
    """Return the fingerprints of the rows that are trained and evaluated on, in the columns that are read."""
    columns = found.data.columns
    return {
        "columns": sorted(columns),
        "training": found.train.fingerprint(columns),
        "evaluation": found.evaluation.fingerprint(columns) if found.evaluation else None,
    }


def load(found: Found, plan: RunPlan) -> Prepared:
    """Load the model of what was found.

    Raises:
        TrainerError: MODEL, or BAD_CONFIGURATION where the model cannot be trained as it is asked for.
    """
    model = load_model(plan, found.data, found.pretrained)
    return Prepared(plan, found.pretrained, model, found.tokenizer, found.data)


def find_model(config: RunConfig, volumes: Volumes) -> tuple[Pretrained, Tokenizer]:
    """The model that the run begins with, none of its weights read, and its tokenizer.

    Raises:
        TrainerError: MODEL when it cannot be used, or BAD_CONFIGURATION when it cannot be trained as it is asked for.
    """
    pretrained = find_pretrained(config.model, volumes)
    lora = config.training.lora
    check_quantization(pretrained.config, config.model.source, again=lora is not None and lora.quantization is not None)
    if pretrained.adapter:
        check_adapter(pretrained.adapter, lora, config.task, PEFT_TYPES)
    tokenizer = load_tokenizer(pretrained, config.model)
    check_vocabulary(tokenizer, pretrained.embeddings, config.model.source)
    return pretrained, tokenizer


def load_model(plan: RunPlan, data: TaskData, pretrained: Pretrained) -> "PreTrainedModel | PeftModel":
    """The model with all its weights to train, or with an adapter; the same each time.

    Raises:
        TrainerError: MODEL, or BAD_CONFIGURATION where the model cannot be trained as it is asked for.
    """
    transformers.set_seed(plan.config.training.seed)
    lora = plan.config.training.lora
    model: PreTrainedModel | PeftModel
    if lora is None:
        model = data.load_model(pretrained).model
    else:
        model = load_adapted(data.load_model, pretrained, PEFT_TYPES[plan.config.task], lora, plan.bf16)
    if plan.batch.activation_checkpointing and not model.supports_gradient_checkpointing:
        raise bad_configuration(
            f"training.arguments.activation_checkpointing: models of type {model.config.model_type} cannot compute "
            "activations again",
            "leave it out; a smaller training.batchSize with more gradient_accumulation_steps takes less memory too",
        )
    return model


def _provenance(config: RunConfig, pretrained: Pretrained, rows: Rows, columns: list[str]) -> Provenance:
    libraries = _libraries(config, pretrained)
    return Provenance(
        model_revision=pretrained.revision,
        dataset_revision=rows.revision if is_hub_id(config.dataset.source) else None,
        dataset_fingerprint=rows.fingerprint(columns),
        config_digest=config.digest(),
        versions={"python": platform.python_version(), **{name: version_of(name) for name in libraries}},
        seed=config.training.seed,
    )


def _libraries(config: RunConfig, pretrained: Pretrained) -> list[str]:
    lora, engine = config.training.lora, config.training.engine
    return [
        *_LIBRARIES,
        *TASKS[config.task].libraries,
        *(["peft"] if lora or pretrained.adapter else []),
        *(["bitsandbytes"] if lora and lora.quantization else []),
        *ENGINES[engine].packages,
    ]
