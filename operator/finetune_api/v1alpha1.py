"""`FineTuneJob`, group `finetune.dev`, version `v1alpha1`: the spec that a user writes. `crds/` is generated from here.

The docstrings below become the CRD's descriptions, so that `kubectl explain ftj.spec.training` teaches.
Only what works is here: the API server refuses any other field, engine or task.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias

from pydantic import Field

from finetune_api.base import OPERATOR_DEFAULT, ApiModel
from finetune_api.labels import ControllerName, ObjectName, StorageClassName
from finetune_api.notify import NotifyTargets
from finetune_api.pod import PodSettings
from finetune_api.quantity import Quantity
from finetune_api.rules import Rule
from finetune_api.sources import Dataset, ModelSource, OutputUri, Preprocessing, Problem, SecretReference
from finetune_api.status import FineTuneJobStatus
from finetune_api.text import Text
from finetune_api.tracking import Tracking
from finetune_api.training import METRICS_OF_PROBLEM, METRICS_OF_TASK, Checkpoints, Evaluation, Metric, Task, Training

GROUP = "finetune.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "finetune.dev/v1alpha1"
KIND = "FineTuneJob"
PLURAL = "finetunejobs"
SINGULAR = "finetunejob"
SHORT_NAME = "ftj"
CATEGORY = "finetune"
CONTROLLER: Final = "finetune.dev/finetunejob-controller"
"""The operator, as `managedBy` names it."""

RunToken: TypeAlias = Annotated[
    str,
    Text(
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._:+]*[A-Za-z0-9])?$",
        message="must be a text of letters, digits and - . _ : +, such as 2, 2026-11-28 or the hash of a commit",
        max_length=63,
    ),
]
Seconds: TypeAlias = Annotated[int, Field(ge=1, le=31_536_000)]

_VOLUME: Rule["Output"] = Rule(
    cel="!has(self.uri) || (!has(self.size) && !has(self.storageClassName) && !has(self.retentionPolicy))",
    # An empty storageClassName is set, too: to Kubernetes it means a volume of no class.
    holds=lambda self: (
        self.uri is None or (self.size is None and self.storage_class_name is None and self.retention_policy is None)
    ),
    message="size, storageClassName and retentionPolicy are for the volume that the operator makes: leave them out, or leave out uri",
)


class Output(ApiModel):
    """Where checkpoints and the exported model go: `checkpoints/step-000125/`, `model/` and `history.jsonl` below one place."""

    rules = (_VOLUME,)

    uri: OutputUri | None = None
    """A folder on a PersistentVolumeClaim that is there (pvc://claim/path), a place in object storage (s3://, gs:// or az://bucket/path), or a repository on the Hub (hf://org/name). If left out the operator makes a claim for the job."""
    secret_ref: SecretReference | None = None
    """Credentials to write there with."""
    size: Quantity | None = None
    """Size of the claim that the operator makes. 10Gi if left out."""
    storage_class_name: StorageClassName | None = None
    """StorageClass of the claim that the operator makes. The cluster's default if left out."""
    retention_policy: Literal["Retain", "Delete"] | None = None
    """Whether the claim that the operator makes outlives the job (Retain, the default) or goes with it (Delete). That of a job which fails with nothing saved goes at once."""


class _HasProcesses(Protocol):
    gpus: int | None
    processes_per_node: int | None


PROCESSES: Rule[_HasProcesses] = Rule(
    cel="!has(self.processesPerNode) || (has(self.gpus) && self.gpus == 0)",
    holds=lambda self: self.processes_per_node is None or self.gpus == 0,
    message="processesPerNode is for training on the CPU (gpus: 0): on GPUs each has one process",
    field=".processesPerNode",
)


class Resources(ApiModel):
    """What each training pod asks for, and how many there are."""

    rules = (PROCESSES,)

    gpus: Annotated[int, Field(ge=0, le=64, json_schema_extra={OPERATOR_DEFAULT: True})] = 1
    """GPUs (`nvidia.com/gpu`) of each pod. 0 trains on the CPU. 1 if left out, or what the profile's limit allows of it."""
    nodes: Annotated[int, Field(ge=1, le=256)] = 1
    """Pods that train together. More than one need an output that all of them can write to: object storage, or a volume with access mode ReadWriteMany."""
    processes_per_node: Annotated[int, Field(ge=1, le=64)] | None = None
    """Training processes in each pod, on the CPU; 1 if left out. On GPUs there is one for each GPU."""
    cpu: Quantity | None = None
    """CPU cores of each pod, such as 4 or 500m; a fraction in quotes, such as "0.5". Request and limit."""
    memory: Quantity | None = None
    """Memory of each pod, such as 16Gi; request and limit."""


class RunPolicy(ApiModel):
    """Retries, deadlines and the preflight. Unlike the rest of the spec, these can change while the job runs."""

    backoff_limit: Annotated[int, Field(ge=0, le=100, json_schema_extra={OPERATOR_DEFAULT: True})] = 3
    """How often a failed pod is replaced. 3 if left out, or what the profile's limit allows of it. One that was preempted or stopped, or that ended because another was lost, is not counted; a mistake in the manifest or the data is not retried."""
    active_deadline_seconds: Seconds | None = None
    """Longest time, in seconds, that the job may run, all attempts together, not counting time suspended or queued."""
    pre_running_deadline_seconds: Seconds | None = None
    """Longest time, in seconds, from admission until a pod runs. Time suspended or waiting for quota does not count."""
    progress_deadline_seconds: Seconds | None = None
    """Longest time, in seconds, without a step of the training, after which an attempt ends with the stacks of its processes and the next goes on from the newest checkpoint, within backoffLimit. If left out 20 times the usual step, and at least 120 s and the usual evaluation. Loading, compiling, saving and exporting have no such limit. An image with stock transformers is ended by the operator if this is set and its reports stop. Without effect on pods once the Job is made."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """When to clean up pods and logs after the end, in seconds. The FineTuneJob itself stays, so that GitOps never runs it again."""
    preflight: Literal["inline", "pod"] = "inline"
    """Where settings, model and data are checked before the first step. `inline`: by the training pods alone. `pod`: first by a small CPU pod of its own, before GPUs and quota are asked for; what it fails with ends the job. Without effect once the training's Job is made."""


_FROZEN = (
    "immutable, since it shapes the run: change it together with runToken, which runs the job anew, or create a job under "
    "another name; with another output.uri, if it has one, since that one holds this run"
)


def _best_checkpoint_can_be_chosen(run: "RunSettings") -> bool:
    evaluation, checkpoints = run.evaluation, run.checkpoints
    return evaluation.best_metric is None or (
        run.dataset.evaluation is not None
        and checkpoints.strategy == evaluation.strategy
        and (checkpoints.steps or 0) % (evaluation.steps or 1) == 0
    )


_BEST_CHECKPOINT: Rule["RunSettings"] = Rule(
    cel="!has(self.evaluation.bestMetric) || (has(self.dataset.evaluation)"
    " && self.checkpoints.strategy == self.evaluation.strategy"
    " && (self.evaluation.strategy != 'steps' || self.checkpoints.steps % self.evaluation.steps == 0))",
    holds=_best_checkpoint_can_be_chosen,
    message="needs dataset.evaluation, and an evaluation at each checkpoint: give evaluation and checkpoints "
    "the same strategy, and make checkpoints.steps a multiple of evaluation.steps",
    field=".evaluation.bestMetric",
    lead="evaluation.bestMetric ",
)
_METRIC_ROWS: Rule["RunSettings"] = Rule(
    cel="!has(self.evaluation.metrics) || has(self.dataset.evaluation)",
    holds=lambda self: self.evaluation.metrics is None or self.dataset.evaluation is not None,
    message="metrics need dataset.evaluation, the rows to compute them on",
    field=".evaluation.metrics",
    lead="evaluation.",
)


def _metrics_of(
    what: str, applies: str, does_apply: Callable[["RunSettings"], bool], *known: Metric
) -> Rule["RunSettings"]:
    listed = f"[{', '.join(repr(metric) for metric in known)}]"
    return Rule(
        cel=f"!({applies}) || ((!has(self.evaluation.metrics) || self.evaluation.metrics.all(metric, metric in {listed}))"
        " && (!has(self.evaluation.bestMetric) || self.evaluation.bestMetric == 'loss'"
        f" || self.evaluation.bestMetric in {listed}))",
        holds=lambda self: (
            not does_apply(self)
            or {*(self.evaluation.metrics or ()), self.evaluation.best_metric} <= {None, "loss", *known}
        ),
        message=f"metrics of {what} are {', '.join(known)}",
        field=".evaluation.metrics",
        lead="evaluation.metrics: ",
    )


def _metrics_of_task(task: Task) -> Rule["RunSettings"]:
    return _metrics_of(task, f"self.task == '{task}'", lambda run: run.task == task, *METRICS_OF_TASK[task])


def _metrics_of_problem(problem: Problem) -> Rule["RunSettings"]:
    return _metrics_of(
        problem,
        f"has(self.model.problemType) && self.model.problemType == '{problem}'",
        lambda run: run.model.problem_type == problem,
        *METRICS_OF_PROBLEM[problem],
    )


_KERAS: Rule["RunSettings"] = Rule(
    cel="self.training.engine != 'keras' || (self.task == 'text-classification' && !has(self.training.lora))",
    holds=lambda self: (
        self.training.engine != "keras" or (self.task == "text-classification" and self.training.lora is None)
    ),
    message="engine 'keras' trains text-classification, without lora: use engine 'trainer' or 'pytorch'",
    field=".training.engine",
    lead="training.",
)
_KERAS_DEVICE: Rule["FineTuneJobSpec"] = Rule(
    cel="self.training.engine != 'keras' || ((!has(self.resources.gpus) || self.resources.gpus <= 1) && self.resources.nodes == 1"
    " && (!has(self.resources.processesPerNode) || self.resources.processesPerNode == 1))",
    holds=lambda self: (
        self.training.engine != "keras"
        or (self.resources.gpus <= 1 and self.resources.nodes == 1 and self.resources.processes_per_node in (None, 1))
    ),
    message="engine 'keras' trains on one device: use engine 'trainer' or 'pytorch', or one GPU on one node",
    field=".resources",
    lead="resources: ",
)


def _field_of_task(
    section: str, name: str, task: Task, value: Callable[["RunSettings"], object]
) -> Rule["RunSettings"]:
    return Rule(
        cel=f"!has(self.{section}.{name}) || self.task == '{task}'",
        holds=lambda self: value(self) is None or self.task == task,
        message=f"{name} is for {task}",
        field=f".{section}.{name}",
        lead=f"{section}.",
    )


_FORMAT: Rule["RunSettings"] = Rule(
    cel="self.dataset.format == 'auto' || self.task == 'causal-lm'",
    holds=lambda self: self.dataset.format == "auto" or self.task == "causal-lm",
    message="format is for causal-lm",
    field=".dataset.format",
    lead="dataset.",
)


class RunSettings(ApiModel):
    """What shapes a run, the same for the operator and for the trainer alone on a laptop."""

    rules = (
        _BEST_CHECKPOINT,
        _METRIC_ROWS,
        *map(_metrics_of_task, METRICS_OF_TASK),
        *map(_metrics_of_problem, METRICS_OF_PROBLEM),
        _KERAS,
        _field_of_task("model", "problemType", "text-classification", lambda run: run.model.problem_type),
        _field_of_task("preprocessing", "packing", "causal-lm", lambda run: run.preprocessing.packing),
        _field_of_task("preprocessing", "sourcePrefix", "seq2seq", lambda run: run.preprocessing.source_prefix),
        _FORMAT,
    )

    task: Task
    """What the model learns. `text-classification`: one text or a pair to a class, several classes or a number. `token-classification`: each word to a tag. `causal-lm`: to go on with a text, to answer a prompt, or to chat (supervised fine-tuning). `seq2seq`: from one text to another, such as translation or summarization."""
    model: ModelSource
    dataset: Dataset
    preprocessing: Preprocessing = Preprocessing()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()


_NEW_RUN = "(has(self.runToken) && (!has(oldSelf.runToken) || self.runToken != oldSelf.runToken))"
"""CEL: whether a change asks for another run. Whatever shapes a run may change with it."""
_SAME_RUN = "!has(self.runToken) || (has(oldSelf.runToken) && self.runToken == oldSelf.runToken)"
_GPUS: Final = ["(has({0}.gpus) ? {0}.gpus : 1)".format(f"{each}.resources") for each in ("self", "oldSelf")]
_SAME_RESOURCES: Final = " && ".join(
    [
        " == ".join(_GPUS),
        *(
            f"has(self.resources.{name}) == has(oldSelf.resources.{name})"
            f" && (!has(self.resources.{name}) || self.resources.{name} == oldSelf.resources.{name})"
            for name in (field.alias for field in Resources.model_fields.values() if field.alias != "gpus")
        ),
    ]
)
"""CEL. Older jobs have the default in their spec: the API server wrote it there before it was the operator's own."""
_OR_SAME: Final = {"resources": f" || ({_SAME_RESOURCES})"}
_IMMUTABLE = [
    Rule[Any](
        cel=f"self.{field} == oldSelf.{field} || {_NEW_RUN}{_OR_SAME.get(field, '')}",
        holds=None,
        message=_FROZEN,
        field=f".{field}",
    )
    for field in (*RunSettings.model_fields, "output", "resources", "pod")
]
_PROFILE_STAYS = Rule[Any](
    cel="has(self.profile) == has(oldSelf.profile) && (!has(self.profile) || self.profile == oldSelf.profile)"
    f" || {_NEW_RUN}",
    holds=None,
    message=_FROZEN,
    field=".profile",
)
_TRACKING_STAYS = Rule[Any](
    cel="has(self.tracking) == has(oldSelf.tracking) && (!has(self.tracking) || self.tracking == oldSelf.tracking)"
    f" || {_NEW_RUN}",
    holds=None,
    message=_FROZEN,
    field=".tracking",
)
_CONTROLLER_STAYS = Rule[Any](
    cel="has(self.managedBy) == has(oldSelf.managedBy) && (!has(self.managedBy) || self.managedBy == oldSelf.managedBy)",
    holds=None,
    message="immutable: no controller takes over what another has begun",
    field=".managedBy",
)
_TOKEN_STAYS = Rule[Any](
    cel="!has(oldSelf.runToken) || has(self.runToken)",
    holds=None,
    message="stays once it is set: change it to run the job anew",
    field=".runToken",
)
_TOKEN_OF_ANOTHER_RUN = Rule[Any](
    cel="!has(self.spec.runToken) || (has(oldSelf.spec.runToken) && self.spec.runToken == oldSelf.spec.runToken)"
    " || !has(self.status) || !has(self.status.run) || !has(self.status.run.token)"
    " || self.spec.runToken != self.status.run.token",
    holds=None,
    message="is that of the present run (status.run.token): give a run that is to follow another one",
    field=".spec.runToken",
)
"""A change that the operator has not seen yet is not taken back by a second one: fields that shape a run, and that were changed
with the first, would then belong to the run that goes on."""
_REPOSITORY = Rule[Any](
    cel=f"{_SAME_RUN} || !has(self.output.uri) || !self.output.uri.startsWith('hf://')"
    " || !has(oldSelf.output.uri) || self.output.uri != oldSelf.output.uri",
    holds=None,
    message="a repository on the Hub holds one run: name another one together with the new runToken",
    field=".output.uri",
)


def _reads_no_secret(spec: "FineTuneJobSpec") -> bool:
    secrets = {volume.name for volume in spec.pod.volumes if volume.secret}
    mounts = [f"file://{mount.mount_path}/" for mount in spec.pod.volume_mounts if mount.name in secrets]
    return not any(
        f"{source}/".startswith(mount) or mount.startswith(source if source.endswith("/") else f"{source}/")
        for source in (spec.model.source, spec.dataset.source)
        for mount in mounts
    )


def _apart_from(source: str) -> str:
    """CEL that holds where a mount is neither below nor above a source that is a path."""
    return (
        f"!('file://' + mount.mountPath + '/').startsWith({source} + ({source}.endsWith('/') ? '' : '/'))"
        f" && !({source} + '/').startsWith('file://' + mount.mountPath + '/')"
    )


_NO_SECRET_AS_SOURCE: Rule["FineTuneJobSpec"] = Rule(
    cel="!has(self.pod.volumes) || !has(self.pod.volumeMounts)"
    " || self.pod.volumes.filter(volume, has(volume.secret)).all(volume, self.pod.volumeMounts.all(mount, mount.name != volume.name"
    f" || ({_apart_from('self.model.source')} && {_apart_from('self.dataset.source')})))",
    holds=_reads_no_secret,
    message="model.source and dataset.source cannot be in, or above, a Secret of pod.volumes: names of columns and rows are shown. "
    "Keep data on a volume or in a bucket, and mount the Secret elsewhere",
)


class FineTuneJobSpec(RunSettings):
    """One fine-tuning run. Fields that shape the run change only together with `runToken`; `suspend`, `runPolicy` and `notify` can change."""

    rules = (
        *_IMMUTABLE,
        _PROFILE_STAYS,
        _TRACKING_STAYS,
        _CONTROLLER_STAYS,
        _TOKEN_STAYS,
        _REPOSITORY,
        *RunSettings.rules,
        _KERAS_DEVICE,
        _NO_SECRET_AS_SOURCE,
    )

    profile: ObjectName | None = None
    """The FineTuneProfile whose defaults and limits the job has. If left out, the one that the label finetune.dev/profile of its namespace names, or else the one called default."""
    output: Output = Output()
    resources: Resources = Resources()
    pod: PodSettings = PodSettings()
    tracking: Tracking | None = None
    suspend: bool = False
    """True stops the job: the trainer saves a checkpoint and its pod goes. False lets it go on from there."""
    run_policy: RunPolicy = RunPolicy()
    notify: NotifyTargets = []
    """Who is told that the run has ended, at least once each: webhooks, and channels of Slack. URLs and keys are in the Secret finetune-notify of the job's namespace."""
    run_token: RunToken | None = None
    """A new value runs the job anew, once; nothing else ever does. Any text, such as a date or the hash of a commit. The run that is under way is stopped first; the new one has a folder of its own, `runs/…` below the output, and begins from the pretrained model. Fields that shape the run may change with it. Once set it can be changed, not taken away."""
    managed_by: ControllerName | None = None
    """Which controller runs the job, as on a batch/v1 Job: this operator if left out, or if it is finetune.dev/finetunejob-controller. It leaves the job of any other, such as kueue.x-k8s.io/multikueue, and its status wholly alone. Immutable."""


class FineTuneJob(ApiModel):
    """Fine-tunes a model: the operator starts a pod that trains, and writes progress, metrics and checkpoints into status."""

    rules = (_TOKEN_OF_ANOTHER_RUN,)

    spec: FineTuneJobSpec
    status: FineTuneJobStatus | None = None
