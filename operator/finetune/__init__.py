"""FineTuneJobs from Python: submit one, follow it, and take its result.

    from finetune import Client, FineTuneJob

    job = FineTuneJob.of("stars", task="text-classification", model=..., dataset=...)
    result = Client().submit(job).follow()

`FineTuneJob` is a manifest, with the models of the contract (`finetune_api`); `Client` and its twin `AsyncClient` work with nothing
but a kubeconfig and rights on FineTuneJobs. Every error is a `FineTuneError`.
"""

from finetune.async_client import AsyncClient, AsyncJob
from finetune.client import Client, Job
from finetune.errors import (
    AlreadyThere,
    FineTuneError,
    JobFailed,
    NoCluster,
    NotAllowed,
    NotFound,
    Refused,
    TimedOut,
)
from finetune.manifest import FineTuneJob
from finetune.result import Result
from finetune.snapshot import Snapshot

__all__ = [
    "AlreadyThere",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "FineTuneError",
    "FineTuneJob",
    "Job",
    "JobFailed",
    "NoCluster",
    "NotAllowed",
    "NotFound",
    "Refused",
    "Result",
    "Snapshot",
    "TimedOut",
]
