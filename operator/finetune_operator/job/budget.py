"""What a namespace may use of GPU time in a calendar month, and whether another job may begin."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.status import Budget
from finetune_api.values import MAX_COUNT, format_time
from finetune_operator.job.observation import Cause


def month_of(moment: datetime) -> str:
    """The calendar month in UTC, such as 2026-11."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def first_of_month(moment: datetime) -> datetime:
    """When the month of `moment` began."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(moment: datetime) -> datetime:
    """When the month after that of `moment` begins."""
    return first_of_month(first_of_month(moment) + timedelta(days=32))


def month_used(raw: JsonObject) -> tuple[str, int] | None:
    """The month of a FineTuneJob's newest usage, and its GPU-seconds of that month. None where there is none: anybody may write a status."""
    status = raw.get("status")
    usage = status.get("usage") if isinstance(status, dict) else None
    month = usage.get("month") if isinstance(usage, dict) else None
    if not isinstance(month, dict):
        return None
    name, seconds = month.get("month"), month.get("gpuSeconds", 0)
    if isinstance(name, str) and isinstance(seconds, int) and 0 <= seconds <= MAX_COUNT:
        return name, seconds
    return None


@dataclass(frozen=True)
class OverBudget(Cause):
    """Why no further job of a namespace begins: its month is used up."""

    budget: Budget = field(kw_only=True)
    until: datetime = field(kw_only=True)
    """When the next month begins."""


def over_budget(namespace: str, profile: str, limit: int, used: int, now: datetime) -> OverBudget | None:
    """Why no further job of the namespace begins, if its month is used up."""
    if used < limit:
        return None
    until = next_month(now)
    message = (
        f"namespace {namespace} has used {hours(used)} of the {hours(limit)} GPU-hours that FineTuneProfile {profile} gives it "
        f"for {month_of(now)}; the job begins when the next month does, at {format_time(until)}"
    )
    # A sum of statuses, which others may have written, can be more than a status may hold.
    budget = Budget(profile=profile, allowed_gpu_seconds=limit, used_gpu_seconds=min(used, MAX_COUNT))
    return OverBudget(Reason.BUDGET_USED_UP, message, budget=budget, until=until)


def hours(seconds: int) -> str:
    """Hours with at most two decimals."""
    return f"{seconds / 3600:.2f}".rstrip("0").rstrip(".")
