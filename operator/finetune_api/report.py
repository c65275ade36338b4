"""What the trainer sends: reports while it runs, and a final report in the pod's termination message.

A report holds the whole state, never a difference, so that a lost one costs nothing.
"""

from enum import IntEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from finetune_api.base import JsonObject, LenientModel
from finetune_api.curves import Curves
from finetune_api.preflight import Preflight
from finetune_api.printable import Printable
from finetune_api.status import (
    MAX_ADJUSTMENTS,
    MAX_CHECKPOINTS,
    MAX_EVALUATIONS,
    MAX_TRACKERS,
    MAX_WARNINGS,
    Adjustment,
    BestCheckpoint,
    Checkpoint,
    Evaluation,
    ExportedModel,
    Failure,
    Metrics,
    MetricValue,
    Progress,
    Provenance,
    RunWarning,
    TrackedRun,
)
from finetune_api.thinning import shrink
from finetune_api.values import MAX_COUNT, Seconds, Step, Uri

AUDIENCE = "reports.finetune.dev"
"""Audience of the pod's projected service-account token."""
ENV_SERVER_URL = "KUBEFLOW_TRAINER_SERVER_URL"
ENV_CA_CERT = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
ENV_TOKEN = "KUBEFLOW_TRAINER_SERVER_TOKEN"  # noqa: S105 the name of a variable
"""Stock transformers reports by these three, so a user's own image does with no code of ours. The last two are paths."""
ENV_CONFIG_DIGEST = "FINETUNE_CONFIG_DIGEST"
"""`sha256:…` of run.yaml, from the Job's template, which nobody can change: whoever may edit pods decides nothing."""
ENV_SECRETS = "FINETUNE_SECRETS"
"""Folder with one folder for each secretRef of the manifest, `model/`, `dataset/`, `output/` and `tracking/`: a file for each key."""
ENV_SECRET_PATHS = "FINETUNE_SECRET_PATHS"  # noqa: S105
ENV_SECRET_VARIABLES = "FINETUNE_SECRET_VARIABLES"  # noqa: S105
"""Further folders with Secrets, parted by `:`, and names of variables that come from one, parted by `,`: nothing of them is shown."""
ENV_NODE_RANK = "FINETUNE_NODE_RANK"
ENV_RENDEZVOUS = "FINETUNE_RENDEZVOUS"
"""With more than one node: this pod's number from 0, and host:port of the first pod's."""
ENV_PRIVATE_ADDRESSES = "FINETUNE_PRIVATE_ADDRESSES"
"""`allow` lets https:// sources lead to private addresses."""
ENV_RUN_SECRET = "FINETUNE_RUN_SECRET"  # noqa: S105 the name of a variable
"""With more than one node: path of a file with a secret, the same for all pods of the run, that they prove to each other."""
ENV_TERMINATION_LOG = "FINETUNE_TERMINATION_LOG"
"""Path of the file that becomes the pod's termination message."""
ENV_TOKENS = "FINETUNE_TOKENS"
"""Folder on a volume where the stages and attempts of one job leave tokenized rows for each other."""
ENV_DOWNLOADS = "FINETUNE_DOWNLOADS"
"""Folder on the job's own volume where its attempts leave models and data for each other."""
ENV_TRUST = "FINETUNE_TRUST"
"""Folder with PEM files: certificate authorities that every connection trusts besides the public ones."""
ENV_CACHE = "FINETUNE_CACHE"
"""Folder on a volume for models, data and tokens, which the jobs of a namespace share."""
ENV_OWN_VOLUME = "FINETUNE_OWN_VOLUME"
"""Folder of the volume that the operator made for the job's output; not set where the user names a place."""
ENV_RETRIES = "FINETUNE_RETRIES"
"""How many attempts may fail before the one that ends the job, of a job whose attempts hand on what they have."""
ENV_PARENT = "FINETUNE_PARENT"
"""Process id of the program that started this one on a laptop, and that it ends with."""
ENV_PROGRESS_DEADLINE = "FINETUNE_PROGRESS_DEADLINE"
"""Seconds without a step after which a run is ended, or `auto` for those that follow from its steps; not watched where it is not set."""
MAX_REPORT_BYTES = 64 * 1024
MAX_REPORT_INTERVAL = 45.0
"""Seconds: the longest that the operator asks a trainer to wait before its next report."""
MAX_TERMINATION_BYTES = 4096
"""Kubernetes cuts a termination message there."""


class ExitCode(IntEnum):
    """How the trainer's process ends. The Job's podFailurePolicy depends on these numbers."""

    SUCCESS = 0
    """The model is trained, evaluated and exported."""
    INTERNAL = 1
    """Anything unforeseen; Python's own code for an uncaught exception. Retried."""
    BAD_CONFIGURATION = 10
    """Settings that cannot be used."""
    DATA = 11
    """Data not found, a column missing, or rows that cannot be used."""
    MODEL = 12
    """Model not found, gated, or not fit for the task."""
    OUT_OF_MEMORY = 13
    """Not enough memory, after smaller batches were tried."""
    LOSS_NOT_FINITE = 14
    """The loss or a gradient became infinite or not a number."""
    OUTPUT = 15
    """The output cannot be written, or holds another run."""
    DEVICE = 16
    """A GPU was asked for and none is usable. Retried, since another node may do."""
    PEER_LOST = 17
    """Another process of the same run was lost, so that this one could not go on. Retried, and not counted: the other one is."""
    SMALLER_BATCHES = 18
    """A GPU of one of several processes had not enough memory. Retried with smaller batches, and not counted: they soon end."""
    STALLED = 19
    """The run did not move for too long, and was ended. Retried from the newest checkpoint."""
    STOPPED = 143
    """Stopped by SIGTERM after saving: 128 + 15. Retried without being counted, and resumes."""


NOT_RETRIED: tuple[ExitCode, ...] = (
    ExitCode.BAD_CONFIGURATION,
    ExitCode.DATA,
    ExitCode.MODEL,
    ExitCode.OUT_OF_MEMORY,
    ExitCode.LOSS_NOT_FINITE,
    ExitCode.OUTPUT,
)
"""The same manifest would fail in the same way again."""
NOT_COUNTED: tuple[ExitCode, ...] = (ExitCode.PEER_LOST, ExitCode.SMALLER_BATCHES, ExitCode.STOPPED)
"""No fault of the process that ends so: retried without using up `runPolicy.backoffLimit`."""

Stage: TypeAlias = Literal["Preparing", "Training", "Evaluating", "Saving", "Exporting", "Finished"]


class TrainerState(LenientModel):
    """The state of a run, common to a report and to the final report."""

    progress: Progress | None = None
    metrics: Metrics = []
    """The newest value of each metric: loss, learning_rate, eval_accuracy, …"""
    evaluations: Annotated[list[Evaluation], Field(max_length=MAX_EVALUATIONS)] = []
    curves: Curves | None = None
    """The history, thinned."""
    checkpoints: Annotated[list[Checkpoint], Field(max_length=MAX_CHECKPOINTS)] = []
    """The checkpoints that are there now, oldest first; the newest is the latest."""
    best_checkpoint: BestCheckpoint | None = None
    model: ExportedModel | None = None
    adjustments: Annotated[list[Adjustment], Field(max_length=MAX_ADJUSTMENTS)] = []
    warnings: Annotated[list[RunWarning], Field(max_length=MAX_WARNINGS)] = []
    preflight: Preflight | None = None
    resumed_from_step: Step | None = None
    log: Uri | None = None
    """Where the log of this attempt is."""
    provenance: Provenance | None = None
    tracking: Annotated[list[TrackedRun], Field(max_length=MAX_TRACKERS)] = []
    """The run at each tracker."""


class Report(TrainerState):
    """What our trainer sends: POST as `{"report": {...}}`."""

    sequence: Annotated[int, Field(ge=0, le=MAX_COUNT)]
    """Counts up in one process; an older report than the last is dropped."""
    stage: Stage
    message: Annotated[str, Field(max_length=256), Printable()] | None = None
    """What it is doing, for people: "tokenizing 1000 rows"."""


class TrainerStatus(LenientModel):
    """What stock transformers sends: POST as `{"trainerStatus": {...}}`.

    Protocol: Kubeflow Trainer's runtime status, as `transformers.integrations.KubeflowCallback` speaks it. Its 100 %
    is sent on any end, so it never means success here.
    """

    progress_percentage: Annotated[int, Field(ge=0, le=100)] | None = None
    estimated_remaining_seconds: Seconds | None = None
    metrics: Annotated[list[MetricValue], Field(max_length=256)] = []


class ReportBody(LenientModel):
    """Body of a report's POST: at least one of the two."""

    report: Report | None = None
    trainer_status: TrainerStatus | None = None


class ReportAnswer(LenientModel):
    """The operator's answer to a report that it took. Trainers of before, and stock transformers, ignore it."""

    next_report_seconds: Annotated[float, Field(gt=0, le=MAX_REPORT_INTERVAL)] | None = None
    """When the next report is due: as soon as the operator can take it, beside those of all the other pods."""


class FinalReport(TrainerState):
    """The trainer's last report; it survives an outage of the operator in the pod's termination message."""

    exit_code: Annotated[int, Field(ge=0, le=255)]
    failure: Failure | None = None
    """Set unless the exit code is SUCCESS or STOPPED."""
    output_empty: bool = False
    """Whether the volume that the operator made for the output was looked at, and holds no checkpoint, no model and nothing unknown."""

    def to_termination_message(self) -> str:
        """Return JSON of at most 4,096 bytes in UTF-8; what matters least is left out first until it fits."""
        message = self.to_wire()
        for shorten in (
            _coarse_curves,
            _drop_log_tail,
            _drop_preflight,
            _drop_evaluations,
            _coarser_curves,
            _drop_old_checkpoints,
            _drop_curves,
            _drop_last_warnings,
            _drop_provenance,
            _drop_old_adjustments,
            _essentials,
            _only_failure,
        ):
            message = shorten(message)
            text = FinalReport.model_validate(message).model_dump_json(
                by_alias=True, exclude_none=True, exclude_defaults=True
            )
            if len(text.encode()) <= MAX_TERMINATION_BYTES:
                return text
        return f'{{"exitCode":{self.exit_code}}}'


def _coarse_curves(message: JsonObject) -> JsonObject:
    return _with_curves(message, 2048)


def _coarser_curves(message: JsonObject) -> JsonObject:
    return _with_curves(message, 1024)


def _drop_curves(message: JsonObject) -> JsonObject:
    return {**message, "curves": None}


def _with_curves(message: JsonObject, most_bytes: int) -> JsonObject:
    curves = message.get("curves")
    return {**message, "curves": curves and shrink(Curves.model_validate(curves), most_bytes).to_wire()}


def _drop_preflight(message: JsonObject) -> JsonObject:
    return {**message, "preflight": None}


def _drop_last_warnings(message: JsonObject) -> JsonObject:
    return {**message, "warnings": message["warnings"][:3]}


def _drop_evaluations(message: JsonObject) -> JsonObject:
    return {**message, "evaluations": message["evaluations"][-1:]}


def _drop_old_checkpoints(message: JsonObject) -> JsonObject:
    newest = [{**checkpoint, "metrics": []} for checkpoint in message["checkpoints"][-1:]]
    return {**message, "checkpoints": newest}


def _drop_provenance(message: JsonObject) -> JsonObject:
    return {**message, "provenance": None, "metrics": message["metrics"][:8]}


def _drop_old_adjustments(message: JsonObject) -> JsonObject:
    return {**message, "adjustments": message["adjustments"][-2:]}


def _essentials(message: JsonObject) -> JsonObject:
    names = ("exitCode", "failure", "outputEmpty", "progress", "model", "checkpoints", "log")
    return {name: message[name] for name in names if name in message}


def _drop_log_tail(message: JsonObject) -> JsonObject:
    failure = message.get("failure")
    return {**message, "failure": {**failure, "logTail": None}} if failure else message


def _only_failure(message: JsonObject) -> JsonObject:
    failure = message.get("failure")
    short = failure and {**failure, "message": failure["message"][:400], "hint": (failure.get("hint") or "")[:400]}
    return {"exitCode": message["exitCode"], "failure": short, "outputEmpty": message["outputEmpty"]}
