"""FineTuneJobs from Python: submit one, follow it, and take its result.

    from finetune import Client, FineTuneJob

    job = FineTuneJob.of("stars", task="text-classification", model=..., dataset=...)
    result = Client().submit(job).follow()

or from a data frame, in a bucket and a cluster, or on this machine:

    job = FineTuneJob.from_frame(frame, name="stars", to="s3://bucket/data", text="review", label="stars")
    result = job.run_locally()

`FineTuneJob` is a manifest, with the models of the contract (`finetune_api`); `Client` and its twin `AsyncClient` work with nothing
but a kubeconfig and rights on FineTuneJobs. Every error is a `FineTuneError`.
"""

from finetune.async_client import AsyncClient, AsyncJob
from finetune.client import Client, Job
from finetune.download import NotVerified
from finetune.errors import (
    AlreadyThere,
    FineTuneError,
    JobFailed,
    NoCluster,
    NotAllowed,
    NotFound,
    NotKnown,
    Refused,
    TimedOut,
)
from finetune.finetunejob import FineTuneJob
from finetune.local import LocalResult
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
    "LocalResult",
    "NoCluster",
    "NotAllowed",
    "NotFound",
    "NotKnown",
    "NotVerified",
    "Refused",
    "Result",
    "Snapshot",
    "TimedOut",
]
