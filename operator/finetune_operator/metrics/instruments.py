"""Every instrument of the operator, by the name under which Prometheus scrapes it.

Base units and suffixes as https://prometheus.io/docs/practices/naming/ has them. Labels are bounded: a namespace, a phase, a
reason that the contract knows, a kind of the API. No label holds the name of a job.
"""

from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

# When each counter began would be one more series for each.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry(auto_describe=True)
"""Of this process. Only what is here is scraped."""

_MINUTES = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600)
_MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

JOBS_ENDED = Counter(
    "finetune_jobs_ended",
    "FineTuneJobs that ended, by namespace, phase and reason.",
    ["namespace", "phase", "reason"],
    registry=REGISTRY,
)
ATTEMPTS_ENDED = Counter(
    "finetune_attempts_ended",
    "Attempts of jobs that ended, by namespace and reason.",
    ["namespace", "reason"],
    registry=REGISTRY,
)
GPU_SECONDS = Counter(
    "finetune_gpu_seconds",
    "GPUs of training pods times the seconds for which they ran, by namespace.",
    ["namespace"],
    registry=REGISTRY,
)
GPU_SECONDS_LOST = Counter(
    "finetune_gpu_seconds_lost",
    "Those of them that went into starting attempts, and into steps that failed attempts had not saved, by namespace.",
    ["namespace"],
    registry=REGISTRY,
)
QUEUE_WAIT = Histogram(
    "finetune_job_queue_wait_seconds",
    "From the creation of a FineTuneJob to the start of its first pod.",
    buckets=_MINUTES,
    registry=REGISTRY,
)
STARTUP = Histogram(
    "finetune_attempt_startup_seconds",
    "From the start of an attempt's pod to its phase Running: image, model and data are there.",
    buckets=_MINUTES,
    registry=REGISTRY,
)
TIME_TO_FIRST_STEP = Histogram(
    "finetune_job_time_to_first_step_seconds",
    "From the creation of a FineTuneJob to its first optimizer step.",
    buckets=_MINUTES,
    registry=REGISTRY,
)
NOTIFICATIONS = Counter(
    "finetune_notifications",
    "Attempts to tell of an end (spec.notify), by namespace and outcome: delivered, failed where another follows, given_up where none does.",
    ["namespace", "outcome"],
    registry=REGISTRY,
)
CONTESTED = Counter(
    "finetune_jobs_contested",
    "How often a job was left to somebody else who writes its status, such as a second installation of the operator, by namespace.",
    ["namespace"],
    registry=REGISTRY,
)
REPORTS = Counter("finetune_reports", "Reports of training pods, by answer.", ["answer"], registry=REGISTRY)
CONNECTIONS_CLOSED = Counter(
    "finetune_connections_closed",
    "Connections to the operator that were closed to make room for newer ones, by the bound: of one address, or of all. No report is lost by that: a trainer connects anew.",
    ["bound"],
    registry=REGISTRY,
)
RECONCILE = Histogram(
    "finetune_reconcile_seconds",
    "A pass for one FineTuneJob, waits for the API included.",
    buckets=_MILLISECONDS,
    registry=REGISTRY,
)
RECONCILE_ERRORS = Counter(
    "finetune_reconcile_errors", "Passes that failed; the job is looked at again later.", registry=REGISTRY
)
UNEXPECTED_ERRORS = Counter(
    "finetune_unexpected_errors",
    "Errors that nobody has thought of, by the task that met one and goes on; the log has the traceback.",
    ["task"],
    registry=REGISTRY,
)
LEADER = Gauge("finetune_leader", "1 for the process that writes, 0 for one that stands by.", registry=REGISTRY)
SHARDS = Gauge(
    "finetune_shards",
    "Into how many parts the namespaces are divided, each with a leader of its own.",
    registry=REGISTRY,
)
KUBE_REQUESTS = Counter(
    "finetune_kube_requests",
    "Requests to the Kubernetes API, by verb, resource and status code; code 0 where there was no answer.",
    ["verb", "resource", "code"],
    registry=REGISTRY,
)
KUBE_WAIT = Histogram(
    "finetune_kube_throttle_seconds",
    "How long a request waited for the operator's own limit on requests.",
    buckets=_MILLISECONDS,
    registry=REGISTRY,
)

Gauge("finetune_operator_info", "The operator's version.", ["version"], registry=REGISTRY).labels(
    version("finetune-operator")
).set(1)
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
