"""What a job has used: GPU time, pod time, and what that costs. The operator counts it by the times of the pods' containers."""

from typing import Annotated

from pydantic import Field

from finetune_api.base import LenientModel
from finetune_api.values import Count, Decimal, Time


class GpuSeconds(LenientModel):
    """GPUs of the training pods, times the seconds for which their containers ran."""

    total: Count = 0
    useful: Count = 0
    """Spent on what the run has now. Less than before where an attempt failed that had not saved its last steps."""
    lost: Count = 0
    """Spent on starting attempts, and on steps after the newest checkpoint of an attempt that failed."""


class MonthlyUsage(LenientModel):
    """What was used in a calendar month, in UTC."""

    month: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}$", max_length=7)]
    gpu_seconds: Count = 0


class Cost(LenientModel):
    """What the GPU time costs by the price that the job's profile had when it began."""

    amount: Decimal
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3)]


class Usage(LenientModel):
    """What the job has used, by the times at which its pods' containers began and ended. Time suspended is no use."""

    gpu_seconds: GpuSeconds = GpuSeconds()
    pod_seconds: Count = 0
    """Seconds for which the containers of all training pods ran."""
    preflight_seconds: Count = 0
    """Those of the preflight's pods, which have no GPU."""
    queued_seconds: Count = 0
    """Seconds in the phases Pending and Queued."""
    startup_seconds: Count = 0
    """Seconds in the phase Preparing: of each attempt, from the start of its pods to its first step."""
    month: MonthlyUsage | None = None
    cost: Cost | None = None
    until: Time
    """The time up to which all of this is counted."""
