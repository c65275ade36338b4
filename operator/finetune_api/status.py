"""The status of a FineTuneJob: what the operator observed and what the trainer reported. Every list is bounded."""

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from finetune_api.base import LenientModel
from finetune_api.curves import Curves
from finetune_api.notify import MAX_TARGETS
from finetune_api.preflight import Preflight
from finetune_api.printable import Printable, printable
from finetune_api.usage import Usage
from finetune_api.values import (
    MAX_COUNT,
    MAX_NAME,
    Bytes,
    Count,
    Decimal,
    Digest,
    Identifier,
    Message,
    ReasonText,
    Revision,
    Seconds,
    Step,
    Time,
    Uri,
    Word,
)

MAX_METRICS = 32
MAX_EVALUATIONS = 20
MAX_CHECKPOINTS = 20
MAX_ATTEMPTS = 10
MAX_ATTEMPT_NUMBER = 1_000_000
MAX_ADJUSTMENTS = 8
MAX_TRACKERS = 4
MAX_WARNINGS = 16
MAX_LOG_TAIL = 2048
MAX_RUNS = 1_000_000
MAX_PREVIOUS_RUNS = 5
MAX_PROFILE_SETTINGS = 16_384
MAX_NOTIFICATIONS = 2 * MAX_TARGETS
"""Of the job and of its profile."""

Phase: TypeAlias = Literal["Pending", "Queued", "Preparing", "Running", "Suspended", "Succeeded", "Failed"]
PHASES: tuple[Phase, ...] = get_args(Phase)


def _short_names(versions: dict[str, str]) -> dict[str, str]:
    # Not by the type of the keys: a CRD has no schema for them.
    if any(len(name) > MAX_NAME for name in versions):
        raise PydanticCustomError("names", "names must have at most {most} characters", {"most": MAX_NAME})
    return {printable(name): version for name, version in versions.items()}


class MetricValue(LenientModel):
    """One number. It is a string, as numbers with a fraction are in the Kubernetes API."""

    name: Annotated[str, Field(min_length=1, max_length=64), Printable()]
    value: Decimal


Metrics: TypeAlias = Annotated[
    list[MetricValue],
    Field(max_length=MAX_METRICS, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
]


class Progress(LenientModel):
    """How far the training is."""

    step: Step = 0
    """Optimizer steps done."""
    total_steps: Step | None = None
    """Optimizer steps of the whole run."""
    epoch: Decimal | None = None
    """Passes over the training rows, such as "1.12"."""
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    eta_seconds: Seconds | None = None
    """Estimated time to the end of training, in seconds."""
    samples_per_second: Decimal | None = None
    """Training rows per second since the attempt began."""
    deadline_seconds: Seconds | None = None
    """Longest time without a step, in seconds, after which the trainer ends the attempt; absent as long as it does not know how long its steps take, and while it saves."""
    last_progress_time: Time | None = None
    """When the operator learned of the newest step, or that the trainer had finished; absent while `deadlineSeconds` is and it has not."""
    last_report_time: Time | None = None
    """When the trainer last reported."""


class Evaluation(LenientModel):
    """Metrics on the evaluation rows after a step."""

    step: Step
    epoch: Decimal | None = None
    metrics: Metrics = []


class Checkpoint(LenientModel):
    """A checkpoint that is complete and was verified after it was written."""

    step: Step
    epoch: Decimal | None = None
    uri: Uri
    size_bytes: Bytes | None = None
    digest: Digest | None = None
    """SHA-256 of the checkpoint's manifest, which holds the SHA-256 of each file."""
    metrics: Metrics = []
    time: Time | None = None


class LatestCheckpoint(LenientModel):
    """The checkpoint that a new attempt resumes from."""

    step: Step
    uri: Uri


class BestCheckpoint(LenientModel):
    """The checkpoint with the best value of `evaluation.bestMetric`."""

    step: Step
    uri: Uri
    metric: Word
    value: Decimal


class ExportedModel(LenientModel):
    """The model at the end, as `from_pretrained` loads it."""

    uri: Uri
    digest: Digest | None = None
    size_bytes: Bytes | None = None


class Adjustment(LenientModel):
    """What the run changed by itself, such as a smaller batch after the GPU's memory was not enough."""

    step: Step
    """The first step that it holds for."""
    reason: ReasonText
    """CudaOutOfMemory, OtherProcesses or EarlyStopping."""
    message: Annotated[str, Field(max_length=256), Printable()]
    """What was changed from what to what."""


class RunWarning(LenientModel):
    """What is probably not meant, and is done all the same. Model, data and settings are worth a second look."""

    reason: ReasonText
    """In CamelCase, such as EmptyTexts."""
    message: Annotated[str, Field(max_length=512), Printable()]
    """What was seen, where, and what to do about it."""


class Attempt(LenientModel):
    """One pod of the job; of many pods that train together the first one, which reports for all."""

    number: Annotated[int, Field(ge=1, le=MAX_ATTEMPT_NUMBER)]
    pod: Identifier
    node: Identifier | None = None
    start_time: Time | None = None
    training_start_time: Time | None = None
    """When the operator learned that it trains: model and data are loaded, and the first step begins."""
    end_time: Time | None = None
    pod_seconds: Count | None = None
    """Seconds for which the containers of its pods ran, all together."""
    exit_code: Annotated[int, Field(ge=-255, le=255)] | None = None
    reason: ReasonText | None = None
    resumed_from_step: Step | None = None
    """The step of the checkpoint that this attempt went on from; 0 for a start from the pretrained model."""
    log: Uri | None = None
    """Where its log is, below the output, also when the pod is gone; without secrets, and of a log of more than 4 MB without its middle."""
    last_step: Step | None = None
    """The newest step that it reported. What lies between it and the `resumedFromStep` of the next attempt was lost."""


class Provenance(LenientModel):
    """What the result was made of."""

    model_revision: Revision | None = None
    """Commit of the model on the Hub, or the SHA-256 of the weights of any other."""
    dataset_revision: Revision | None = None
    """Commit of the data set on the Hub."""
    dataset_fingerprint: Revision | None = None
    """SHA-256 of the training rows' text and label columns, in their order."""
    config_digest: Digest | None = None
    """SHA-256 of the run's settings."""
    image: Annotated[str, Field(max_length=512), Printable()] | None = None
    versions: Annotated[dict[str, Word], Field(max_length=16), AfterValidator(_short_names)] | None = None
    """Versions of the libraries that trained."""
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = None


class TrackedRun(LenientModel):
    """The run at one tracker."""

    tracker: Word
    """mlflow, tensorboard, wandb or trackio."""
    url: Uri | None = None
    """Where the run is: a page of the tracker, or a folder of the output. Absent until it is known."""
    message: Annotated[str, Field(max_length=256), Printable()] | None = None
    """What has not arrived, and why. Absent while all does."""


class AppliedProfile(LenientModel):
    """The FineTuneProfile by whose rules the job was taken. A later change of the profile does not touch the job."""

    name: Identifier
    generation: Count | None = None
    """metadata.generation of the profile at that time. Absent for the one that is built in."""
    digest: Digest
    """SHA-256 of `settings`."""
    settings: Annotated[str, Field(max_length=MAX_PROFILE_SETTINGS), Printable()]
    """Defaults, limits and all else of the profile that the run keeps, as JSON."""
    proof: Digest | None = None
    """HMAC of all of this and the job's uid, by a key of the operator's. Without it, what somebody else wrote here would count."""


RunNumber: TypeAlias = Annotated[int, Field(ge=1, le=MAX_RUNS)]
RunFolder: TypeAlias = Annotated[str, Field(max_length=1056), Printable()]


class Run(LenientModel):
    """The run that all of the status is about, but for `previousRuns`."""

    number: RunNumber = 1
    """From 1; each new `spec.runToken` counts on."""
    token: Word | None = None
    """The `spec.runToken` that asked for it."""
    begin_time: Time | None = None
    """When it took the place of the former run. Absent of the first one, which begins with the job."""
    output: RunFolder | None = None
    """The folder that it writes to. Absent of a run that failed with nothing saved, and whose claim is deleted."""


class PreviousRun(LenientModel):
    """A run before the present one, as it was known when the present one was asked for."""

    number: RunNumber
    token: Word | None = None
    phase: Phase
    """How it ended, or where it was when it was ended for the next."""
    reason: ReasonText | None = None
    message: Annotated[str, Field(max_length=256), Printable()] | None = None
    start_time: Time | None = None
    end_time: Time | None = None
    attempts: Count = 0
    """How many there were."""
    step: Step | None = None
    """Optimizer steps done."""
    output: RunFolder | None = None
    """The folder that holds what it saved."""


class Failure(LenientModel):
    """Why the job failed, and what to do about it."""

    reason: ReasonText
    message: Message
    hint: Message | None = None
    exit_code: Annotated[int, Field(ge=-255, le=255)] | None = None
    log_tail: Annotated[str, Field(max_length=MAX_LOG_TAIL), Printable(lines=True)] | None = None
    """The last lines that the container wrote, where the trainer itself could report nothing."""


class Condition(LenientModel):
    """As everywhere in Kubernetes. Types: Running, Suspended, Complete, Failed, and kstatus's Ready, Reconciling, Stalled."""

    type: Word
    status: Literal["True", "False", "Unknown"]
    reason: ReasonText
    message: Message = ""
    last_transition_time: Time
    observed_generation: Annotated[int, Field(ge=0)] | None = None


class Budget(LenientModel):
    """What a namespace may use of GPU time in a month, and has used."""

    profile: Identifier
    """The FineTuneProfile whose limits.gpuSecondsPerNamespace it is."""
    allowed_gpu_seconds: Count
    used_gpu_seconds: Count
    """By all jobs of the namespace in the month, those included that are deleted."""


class Waiting(LenientModel):
    """What a job waits for in its queue."""

    reason: ReasonText
    since: Time
    """Since when it has waited."""
    position: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    """Its place among all that wait for the same quota, from 1, where Kueue's visibility API says it."""
    budget: Budget | None = None
    """The budget that is used up, where the job waits for the next month."""


class Notification(LenientModel):
    """What became of telling one of `spec.notify` that the run has ended."""

    target: Word
    """Its name in `spec.notify`, or in the profile's."""
    state: Literal["Pending", "Delivered", "GivenUp"] = "Pending"
    attempts: Count = 0
    last_attempt_time: Time | None = None
    next_attempt_time: Time | None = None
    """When the next attempt is due, while it is Pending."""
    message: Annotated[str, Field(max_length=256), Printable()] | None = None
    """Why the last attempt came to nothing."""


class FineTuneJobStatus(LenientModel):
    """What was observed of the job. Written by the operator alone."""

    model_config = ConfigDict(validate_default=False)

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    phase: Phase | None = None
    message: Message | None = None
    """One line that answers "why is it so"."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = []
    waiting: Waiting | None = None
    """Set while the phase is Queued."""
    start_time: Time | None = None
    completion_time: Time | None = None
    progress: Progress | None = None
    metrics: Metrics = []
    evaluations: Annotated[list[Evaluation], Field(max_length=MAX_EVALUATIONS)] = []
    """The newest 20."""
    curves: Curves | None = None
    checkpoints: Annotated[list[Checkpoint], Field(max_length=MAX_CHECKPOINTS)] = []
    """The checkpoints that are there to resume from, oldest first."""
    latest_checkpoint: LatestCheckpoint | None = None
    best_checkpoint: BestCheckpoint | None = None
    model: ExportedModel | None = None
    adjustments: Annotated[list[Adjustment], Field(max_length=MAX_ADJUSTMENTS)] = []
    """What the run changed by itself, oldest first."""
    warnings: Annotated[list[RunWarning], Field(max_length=MAX_WARNINGS)] = []
    """What is probably not meant in model, data or settings, and is done all the same."""
    preflight: Preflight | None = None
    attempts: Annotated[list[Attempt], Field(max_length=MAX_ATTEMPTS)] = []
    """The newest 10."""
    run: Run | None = None
    previous_runs: Annotated[list[PreviousRun], Field(max_length=MAX_PREVIOUS_RUNS)] = []
    """The newest 5, oldest first."""
    profile: AppliedProfile | None = None
    provenance: Provenance | None = None
    tracking: Annotated[list[TrackedRun], Field(max_length=MAX_TRACKERS)] = []
    """The run at each tracker of spec.tracking."""
    usage: Usage | None = None
    failure: Failure | None = None
    notifications: Annotated[
        list[Notification],
        Field(
            max_length=MAX_NOTIFICATIONS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["target"]},
        ),
    ] = []
    """Who is told that the run has ended."""
