"""`FineTuneJob`, group `finetune.dev`, version `v1alpha1`: the spec that a user writes. `crds/` is generated from here.

The docstrings below become the CRD's descriptions, so that `kubectl explain ftj.spec.training` teaches.
Only what works is here: the API server refuses any other field, engine or task.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from finetune_api.base import ApiModel, Rule, Text, validations
from finetune_api.pod import PodSettings
from finetune_api.quantity import Quantity
from finetune_api.status import FineTuneJobStatus

GROUP = "finetune.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "finetune.dev/v1alpha1"
KIND = "FineTuneJob"
PLURAL = "finetunejobs"
SINGULAR = "finetunejob"
SHORT_NAME = "ftj"
CATEGORY = "finetune"

_UP = r"(^|/)[.][.](/|$)"
_CLAIM = r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^\s]*)?"

Source: TypeAlias = Annotated[
    str,
    Text(
        pattern=rf"^([A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?|file:///[^\s]+|{_CLAIM})$",
        message="must be a Hugging Face Hub id (org/name), file:///path/in/the/container or pvc://claim/path, without '..'",
        max_length=512,
        forbid=_UP,
    ),
]
OutputUri: TypeAlias = Annotated[
    str,
    Text(
        pattern=rf"^{_CLAIM}$",
        message="must be pvc://claim/path without '..'; leave it out and the operator makes a volume for the job",
        max_length=512,
        forbid=_UP,
    ),
]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Seconds: TypeAlias = Annotated[int, Field(ge=1, le=31_536_000)]
Steps: TypeAlias = Annotated[int, Field(ge=1, le=10_000_000)]
Seed: TypeAlias = Annotated[int, Field(ge=0, le=4_294_967_295)]

Metric: TypeAlias = Literal["accuracy", "f1", "precision", "recall", "matthews_correlation"]
BestMetric: TypeAlias = Literal[Metric, "loss"]


class ModelSource(ApiModel):
    """The pretrained model to start from."""

    source: Source
    """A model's id on the Hugging Face Hub, or a folder as `save_pretrained` writes it: file:///path or pvc://claim/path."""
    revision: Name = "main"
    """Branch, tag or commit on the Hub. A file:// or pvc:// source has none."""


class Split(ApiModel):
    """Which rows of the data set to take."""

    split: Name
    """Name of the split, with a slice if wanted: `train`, `train[:80%]`, `test[100:200]`. A single file has the split `train`."""
    samples: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = None
    """How many rows, drawn after shuffling with `seed`. All of them, in their own order, if left out."""
    seed: Seed = 42
    """Seed of the shuffling."""


class Columns(ApiModel):
    """Which columns of the data set hold what."""

    text: Name = "text"
    """The text to classify, or the first text of a pair."""
    text_pair: Name | None = None
    """The second text, for tasks on pairs such as entailment."""
    label: Name = "label"
    """The class: an integer with names (ClassLabel), a plain integer, or a string."""


class Dataset(ApiModel):
    """The data to train and evaluate on."""

    source: Source
    """A data set's id on the Hub; or a csv, json, jsonl or parquet file, a folder of them, or a `save_to_disk` folder: file:///path or pvc://claim/path."""
    name: Name | None = None
    """The configuration of a data set on the Hub, such as `mrpc` of `nyu-mll/glue`."""
    revision: Name = "main"
    """Branch, tag or commit on the Hub. A file:// or pvc:// source has none."""
    train: Split
    """Rows to train on."""
    evaluation: Split | None = None
    """Rows to evaluate on. Without it nothing is evaluated."""
    columns: Columns = Columns()


class Preprocessing(ApiModel):
    """How text becomes tokens."""

    max_length: Annotated[int, Field(ge=1, le=1_048_576)] | None = None
    """Longest sequence, in tokens. The model's own limit if left out."""
    truncation: bool = True
    """Cut longer texts. If false, a longer text is an error."""
    padding: Literal["longest", "max_length"] = "longest"
    """Pad each batch to its longest text, or every batch to `maxLength`."""


class Training(ApiModel):
    """How to train. The defaults are those of transformers' TrainingArguments."""

    engine: Literal["trainer"] = "trainer"
    """`trainer` is transformers' Trainer."""
    epochs: Annotated[float, Field(gt=0, le=10_000)] = 3
    """Passes over the training rows; may be a fraction."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Rows in a batch on each device."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """Highest learning rate of the schedule."""
    seed: Seed = 42
    """Seed of weights, shuffling and dropout."""
    arguments: Annotated[dict[str, Any], Field(max_length=64)] = {}
    """Any other field of transformers.TrainingArguments by its own name, such as `warmup_steps: 100`. Fields that the operator sets itself (output_dir, report_to, the save and evaluation strategy, …) are refused."""


_STEPS_RULE = Rule(
    "(self.strategy == 'steps') == has(self.steps)",
    "steps is required with strategy 'steps', and only then",
)


class _Interval(ApiModel):
    strategy: Literal["epoch", "steps"] = "epoch"
    """At the end of each epoch, or each `steps` steps."""
    steps: Steps | None = None
    """Optimizer steps from one time to the next, with strategy `steps`."""

    @model_validator(mode="after")
    def _steps_go_with_their_strategy(self) -> "_Interval":
        if (self.strategy == "steps") != (self.steps is not None):
            raise PydanticCustomError("steps", _STEPS_RULE.message)
        return self


_BEST_RULE = Rule(
    "!has(self.bestMetric) || self.bestMetric == 'loss' || self.bestMetric in self.metrics",
    "bestMetric must be 'loss' or one of metrics",
)


class Evaluation(_Interval):
    """When and by which metrics to evaluate. It takes rows in `dataset.evaluation`."""

    model_config = ConfigDict(json_schema_extra=validations(_STEPS_RULE, _BEST_RULE))

    metrics: Annotated[list[Metric], Field(max_length=5)] = ["accuracy"]
    """Metrics of the `evaluate` library, reported as `eval_<metric>`. f1, precision and recall are those of the second class where there are two, and the mean over classes (macro) where there are more."""
    best_metric: BestMetric | None = None
    """Which metric chooses the best checkpoint; that one is exported then. `loss` is the evaluation loss. If left out, the last one is exported."""

    @model_validator(mode="after")
    def _best_metric_is_computed(self) -> "Evaluation":
        if self.best_metric not in (None, "loss", *self.metrics):
            raise PydanticCustomError("best_metric", _BEST_RULE.message)
        return self


class Checkpoints(_Interval):
    """When to save, and how many to keep."""

    model_config = ConfigDict(json_schema_extra=validations(_STEPS_RULE))

    keep: Annotated[int, Field(ge=1, le=16)] = 3
    """How many of the newest checkpoints to keep. The best one is kept besides."""


_VOLUME_RULE = Rule(
    "!has(self.uri) || (!has(self.size) && !has(self.storageClassName) && !has(self.retentionPolicy))",
    "size, storageClassName and retentionPolicy are for the volume that the operator makes: leave them out, or leave out uri",
)


class Output(ApiModel):
    """Where checkpoints and the exported model go: `checkpoints/step-000125/`, `model/` and `history.jsonl` below one place."""

    model_config = ConfigDict(json_schema_extra=validations(_VOLUME_RULE))

    uri: OutputUri | None = None
    """A folder on a PersistentVolumeClaim that is there: pvc://claim/path. If left out the operator makes a claim for the job."""
    size: Quantity | None = None
    """Size of the claim that the operator makes. 10Gi if left out."""
    storage_class_name: Annotated[str, Field(max_length=253)] | None = None
    """StorageClass of the claim that the operator makes. The cluster's default if left out."""
    retention_policy: Literal["Retain", "Delete"] | None = None
    """Whether the claim that the operator makes outlives the job (Retain, the default) or goes with it (Delete)."""

    @model_validator(mode="after")
    def _volume_settings_need_our_volume(self) -> "Output":
        if self.uri and (self.size or self.storage_class_name or self.retention_policy):
            raise PydanticCustomError("volume", _VOLUME_RULE.message)
        return self


class Resources(ApiModel):
    """What the training pod asks for."""

    gpus: Annotated[int, Field(ge=0, le=1)] = 1
    """GPUs (`nvidia.com/gpu`). 0 trains on the CPU."""
    cpu: Quantity | None = None
    """CPU cores, such as "4" or 500m; request and limit."""
    memory: Quantity | None = None
    """Memory, such as 16Gi; request and limit."""


class RunPolicy(ApiModel):
    """Retries and deadlines. Unlike the rest of the spec, these can change while the job runs."""

    backoff_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a failed pod is replaced. A preempted pod is not counted; a mistake in the manifest or the data is not retried."""
    active_deadline_seconds: Seconds | None = None
    """Longest time, in seconds, that the job may run, all attempts together, not counting time suspended or queued."""
    pre_running_deadline_seconds: Seconds | None = None
    """Longest time, in seconds, from admission until a pod runs. Time suspended or waiting for quota does not count."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """When to clean up pods and logs after the end, in seconds. The FineTuneJob itself stays, so that GitOps never runs it anew."""


_FROZEN = "immutable, since it shapes the run: delete the job and create it anew, or create one under another name"
_BEST_CHECKPOINT_RULE = Rule(
    rule="!has(self.evaluation.bestMetric) || (has(self.dataset.evaluation)"
    " && self.checkpoints.strategy == self.evaluation.strategy"
    " && (self.evaluation.strategy != 'steps' || self.checkpoints.steps % self.evaluation.steps == 0))",
    message="needs dataset.evaluation, and an evaluation at each checkpoint: give evaluation and checkpoints "
    "the same strategy, and make checkpoints.steps a multiple of evaluation.steps",
    field=".evaluation.bestMetric",
)
_PADDING_RULE = Rule(
    rule="self.preprocessing.padding != 'max_length' || has(self.preprocessing.maxLength)",
    message="preprocessing.padding 'max_length' needs preprocessing.maxLength",
    field=".preprocessing.maxLength",
)


class RunSettings(ApiModel):
    """What shapes a run, the same for the operator and for the trainer alone on a laptop."""

    task: Literal["text-classification"]
    """What the model learns. `text-classification` takes one text or a pair and gives one class."""
    model: ModelSource
    dataset: Dataset
    preprocessing: Preprocessing = Preprocessing()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()

    @model_validator(mode="after")
    def _best_checkpoint_can_be_chosen(self) -> "RunSettings":
        evaluation, checkpoints = self.evaluation, self.checkpoints
        if evaluation.best_metric is None:
            return self
        aligned = evaluation.strategy == checkpoints.strategy and (
            evaluation.steps is None or checkpoints.steps is None or checkpoints.steps % evaluation.steps == 0
        )
        if self.dataset.evaluation is None or not aligned:
            raise PydanticCustomError("best_checkpoint", f"evaluation.bestMetric {_BEST_CHECKPOINT_RULE.message}")
        return self

    @model_validator(mode="after")
    def _padding_has_a_length(self) -> "RunSettings":
        if self.preprocessing.padding == "max_length" and self.preprocessing.max_length is None:
            raise PydanticCustomError("padding", _PADDING_RULE.message)
        return self


_IMMUTABLE = [
    Rule(f"self.{field} == oldSelf.{field}", _FROZEN, field=f".{field}")
    for field in (*RunSettings.model_fields, "output", "resources", "pod")
]


class FineTuneJobSpec(RunSettings):
    """One fine-tuning run. Fields that shape the run are immutable; `suspend` and `runPolicy` can change."""

    model_config = ConfigDict(json_schema_extra=validations(*_IMMUTABLE, _BEST_CHECKPOINT_RULE, _PADDING_RULE))

    output: Output = Output()
    resources: Resources = Resources()
    pod: PodSettings = PodSettings()
    suspend: bool = False
    """True stops the job: the trainer saves a checkpoint and its pod goes. False lets it go on from there."""
    run_policy: RunPolicy = RunPolicy()


class FineTuneJob(ApiModel):
    """Fine-tunes a model: the operator starts a pod that trains, and writes progress, metrics and checkpoints into status."""

    spec: FineTuneJobSpec
    status: FineTuneJobStatus | None = None
