"""`FineTuneJob`, group `finetune.dev`, version `v1alpha1`: the spec that a user writes. `crds/` is generated from here.

The docstrings below become the CRD's descriptions, so that `kubectl explain ftj.spec.training` teaches.
Only what works is here: the API server refuses any other field, engine or task.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from finetune_api.base import ApiModel, Rule, validations
from finetune_api.pod import PodSettings
from finetune_api.quantity import Quantity
from finetune_api.sources import Dataset, ModelSource, OutputUri, Preprocessing, SecretReference
from finetune_api.status import FineTuneJobStatus
from finetune_api.training import METRICS_OF_PROBLEM, METRICS_OF_TASK, Checkpoints, Evaluation, Metric, Task, Training

GROUP = "finetune.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "finetune.dev/v1alpha1"
KIND = "FineTuneJob"
PLURAL = "finetunejobs"
SINGULAR = "finetunejob"
SHORT_NAME = "ftj"
CATEGORY = "finetune"

Seconds: TypeAlias = Annotated[int, Field(ge=1, le=31_536_000)]

_VOLUME_RULE = Rule(
    "!has(self.uri) || (!has(self.size) && !has(self.storageClassName) && !has(self.retentionPolicy))",
    "size, storageClassName and retentionPolicy are for the volume that the operator makes: leave them out, or leave out uri",
)


class Output(ApiModel):
    """Where checkpoints and the exported model go: `checkpoints/step-000125/`, `model/` and `history.jsonl` below one place."""

    model_config = ConfigDict(json_schema_extra=validations(_VOLUME_RULE))

    uri: OutputUri | None = None
    """A folder on a PersistentVolumeClaim that is there (pvc://claim/path), a place in object storage (s3://, gs:// or az://bucket/path), or a repository on the Hub (hf://org/name). If left out the operator makes a claim for the job."""
    secret_ref: SecretReference | None = None
    """Credentials to write there with."""
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


PROCESSES_RULE = Rule(
    "!has(self.processesPerNode) || self.gpus == 0",
    "processesPerNode is for training on the CPU (gpus: 0): on GPUs each has one process",
    field=".processesPerNode",
)


class Resources(ApiModel):
    """What each training pod asks for, and how many there are."""

    model_config = ConfigDict(json_schema_extra=validations(PROCESSES_RULE))

    gpus: Annotated[int, Field(ge=0, le=64)] = 1
    """GPUs (`nvidia.com/gpu`) of each pod. 0 trains on the CPU."""
    nodes: Annotated[int, Field(ge=1, le=256)] = 1
    """Pods that train together. More than one need an output that all of them can write to: object storage, or a volume with access mode ReadWriteMany."""
    processes_per_node: Annotated[int, Field(ge=1, le=64)] | None = None
    """Training processes in each pod, on the CPU; 1 if left out. On GPUs there is one for each GPU."""
    cpu: Quantity | None = None
    """CPU cores of each pod, such as 4 or 500m; a fraction in quotes, such as "0.5". Request and limit."""
    memory: Quantity | None = None
    """Memory of each pod, such as 16Gi; request and limit."""

    @model_validator(mode="after")
    def _processes_are_the_gpus(self) -> "Resources":
        if self.processes_per_node is not None and self.gpus:
            raise PydanticCustomError("processes", PROCESSES_RULE.message)
        return self


class RunPolicy(ApiModel):
    """Retries, deadlines and the preflight. Unlike the rest of the spec, these can change while the job runs."""

    backoff_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a failed pod is replaced. One that was preempted or stopped, or that ended because another was lost, is not counted; a mistake in the manifest or the data is not retried."""
    active_deadline_seconds: Seconds | None = None
    """Longest time, in seconds, that the job may run, all attempts together, not counting time suspended or queued."""
    pre_running_deadline_seconds: Seconds | None = None
    """Longest time, in seconds, from admission until a pod runs. Time suspended or waiting for quota does not count."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """When to clean up pods and logs after the end, in seconds. The FineTuneJob itself stays, so that GitOps never runs it anew."""
    preflight: Literal["inline", "pod"] = "inline"
    """Where settings, model and data are checked before the first step. `inline`: by the training pods alone. `pod`: first by a small CPU pod of its own, before GPUs and quota are asked for; what it fails with ends the job. Without effect once the training's Job is made."""


_FROZEN = (
    "immutable, since it shapes the run: delete the job and create it anew, or create one under another name; "
    "with another output.uri, if it has one, since that one holds this run"
)
_BEST_CHECKPOINT_RULE = Rule(
    rule="!has(self.evaluation.bestMetric) || (has(self.dataset.evaluation)"
    " && self.checkpoints.strategy == self.evaluation.strategy"
    " && (self.evaluation.strategy != 'steps' || self.checkpoints.steps % self.evaluation.steps == 0))",
    message="needs dataset.evaluation, and an evaluation at each checkpoint: give evaluation and checkpoints "
    "the same strategy, and make checkpoints.steps a multiple of evaluation.steps",
    field=".evaluation.bestMetric",
)


def _metrics_rule(where: str, what: str, metrics: tuple[Metric, ...]) -> Rule:
    known = f"[{', '.join(repr(metric) for metric in metrics)}]"
    return Rule(
        rule=f"!({where}) || ((!has(self.evaluation.metrics) || self.evaluation.metrics.all(metric, metric in {known}))"
        " && (!has(self.evaluation.bestMetric) || self.evaluation.bestMetric == 'loss'"
        f" || self.evaluation.bestMetric in {known}))",
        message=_metrics_message(what, metrics),
        field=".evaluation.metrics",
    )


def _metrics_message(what: str, metrics: tuple[Metric, ...]) -> str:
    return f"metrics of {what} are {', '.join(metrics)}"


_METRICS_RULES = [
    *(_metrics_rule(f"self.task == '{task}'", task, metrics) for task, metrics in METRICS_OF_TASK.items()),
    *(
        _metrics_rule(f"has(self.model.problemType) && self.model.problemType == '{problem}'", problem, metrics)
        for problem, metrics in METRICS_OF_PROBLEM.items()
    ),
]
_METRICS_ROWS_RULE = Rule(
    rule="!has(self.evaluation.metrics) || has(self.dataset.evaluation)",
    message="metrics need dataset.evaluation, the rows to compute them on",
    field=".evaluation.metrics",
)
_KERAS_RULE = Rule(
    rule="self.training.engine != 'keras' || (self.task == 'text-classification' && !has(self.training.lora))",
    message="engine 'keras' trains text-classification, without lora: use engine 'trainer' or 'pytorch'",
    field=".training.engine",
)
_KERAS_DEVICE_RULE = Rule(
    rule="self.training.engine != 'keras' || (self.resources.gpus <= 1 && self.resources.nodes == 1"
    " && (!has(self.resources.processesPerNode) || self.resources.processesPerNode == 1))",
    message="engine 'keras' trains on one device: use engine 'trainer' or 'pytorch', or one GPU on one node",
    field=".resources",
)
_FIELDS_OF_TASK: list[tuple[str, str, Task]] = [
    ("model", "problemType", "text-classification"),
    ("preprocessing", "packing", "causal-lm"),
    ("preprocessing", "sourcePrefix", "seq2seq"),
]
_TASK_RULES = [
    Rule(f"!has(self.{section}.{name}) || self.task == '{task}'", f"{name} is for {task}", field=f".{section}.{name}")
    for section, name, task in _FIELDS_OF_TASK
]
_FORMAT_RULE = Rule(
    rule="self.dataset.format == 'auto' || self.task == 'causal-lm'",
    message="format is for causal-lm",
    field=".dataset.format",
)
_RULES = (_BEST_CHECKPOINT_RULE, _METRICS_ROWS_RULE, *_METRICS_RULES, _KERAS_RULE, *_TASK_RULES, _FORMAT_RULE)


class RunSettings(ApiModel):
    """What shapes a run, the same for the operator and for the trainer alone on a laptop."""

    task: Task
    """What the model learns. `text-classification`: one text or a pair to a class, several classes or a number. `token-classification`: each word to a tag. `causal-lm`: to go on with a text, to answer a prompt, or to chat (supervised fine-tuning). `seq2seq`: from one text to another, such as translation or summarization."""
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
    def _metrics_fit(self) -> "RunSettings":
        if self.evaluation.metrics is not None and self.dataset.evaluation is None:
            raise PydanticCustomError("metrics", f"evaluation.{_METRICS_ROWS_RULE.message}")
        asked = {*(self.evaluation.metrics or []), self.evaluation.best_metric} - {"loss", None}
        fitting: dict[str, tuple[Metric, ...]] = {self.task: METRICS_OF_TASK[self.task]}
        if self.model.problem_type:
            fitting[self.model.problem_type] = METRICS_OF_PROBLEM[self.model.problem_type]
        for what, metrics in fitting.items():
            if not asked <= set(metrics):
                message = f"evaluation.metrics: {_metrics_message(what, metrics)}"
                raise PydanticCustomError("metrics", "{message}", {"message": message})
        return self

    @model_validator(mode="after")
    def _task_and_engine_fit(self) -> "RunSettings":
        if self.training.engine == "keras" and (self.task != "text-classification" or self.training.lora):
            raise PydanticCustomError("engine", f"training.{_KERAS_RULE.message}")
        wire = self.to_wire()
        for (section, name, task), rule in zip(_FIELDS_OF_TASK, _TASK_RULES, strict=True):
            if name in wire[section] and self.task != task:
                raise PydanticCustomError("task", "{message}", {"message": f"{section}.{rule.message}"})
        if self.dataset.format != "auto" and self.task != "causal-lm":
            raise PydanticCustomError("task", f"dataset.{_FORMAT_RULE.message}")
        return self


_IMMUTABLE = [
    Rule(f"self.{field} == oldSelf.{field}", _FROZEN, field=f".{field}")
    for field in (*RunSettings.model_fields, "output", "resources", "pod")
]


class FineTuneJobSpec(RunSettings):
    """One fine-tuning run. Fields that shape the run are immutable; `suspend` and `runPolicy` can change."""

    model_config = ConfigDict(json_schema_extra=validations(*_IMMUTABLE, *_RULES, _KERAS_DEVICE_RULE))

    output: Output = Output()
    resources: Resources = Resources()
    pod: PodSettings = PodSettings()
    suspend: bool = False
    """True stops the job: the trainer saves a checkpoint and its pod goes. False lets it go on from there."""
    run_policy: RunPolicy = RunPolicy()

    @model_validator(mode="after")
    def _keras_has_one_device(self) -> "FineTuneJobSpec":
        resources = self.resources
        devices = resources.nodes * max(resources.gpus, resources.processes_per_node or 1)
        if self.training.engine == "keras" and devices > 1:
            raise PydanticCustomError("keras", f"resources: {_KERAS_DEVICE_RULE.message}")
        return self


class FineTuneJob(ApiModel):
    """Fine-tunes a model: the operator starts a pod that trains, and writes progress, metrics and checkpoints into status."""

    spec: FineTuneJobSpec
    status: FineTuneJobStatus | None = None
