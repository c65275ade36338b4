"""Months, and what a namespace may still use of one."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import START

from finetune_api.status import Budget
from finetune_api.values import MAX_COUNT
from finetune_operator.job.budget import OverBudget, first_of_month, month_of, month_used, next_month, over_budget


def test_months_are_those_of_the_calendar_in_utc() -> None:
    last = datetime.fromisoformat("2026-12-31T23:30:00-02:00")

    assert (month_of(START), month_of(last)) == ("2026-11", "2027-01")
    assert first_of_month(START) == datetime(2026, 11, 1, tzinfo=UTC)
    assert [next_month(each) for each in (START, datetime(2026, 12, 31, 23, tzinfo=UTC))] == [
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    ]


def test_a_budget_holds_from_the_second_on_in_which_it_is_used_up() -> None:
    assert over_budget("team-a", "gpu", 7200, 7199, START) is None
    assert over_budget("team-a", "gpu", 7200, 9000, START) == OverBudget(
        "BudgetUsedUp",
        "namespace team-a has used 2.5 of the 2 GPU-hours that FineTuneProfile gpu gives it for 2026-11; the job begins when "
        "the next month does, at 2026-12-01T00:00:00Z",
        budget=Budget(profile="gpu", allowed_gpu_seconds=7200, used_gpu_seconds=9000),
        until=datetime(2026, 12, 1, tzinfo=UTC),
    )


def test_a_sum_that_is_more_than_a_status_can_hold_holds_jobs_back_like_any_other() -> None:
    over = over_budget("team-a", "gpu", 7200, 2 * MAX_COUNT, START)

    assert over is not None
    assert over.budget.used_gpu_seconds == MAX_COUNT


@pytest.mark.parametrize(
    ("status", "used"),
    [
        ({"usage": {"month": {"month": "2026-11", "gpuSeconds": 9}}}, ("2026-11", 9)),
        ({"usage": {"month": {"month": "2026-11", "gpuSeconds": -9}}}, None),
        ({"usage": {"month": {"month": 3}}}, None),
        ({"usage": {"month": []}}, None),
        ({"usage": 5}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_a_job_used_is_read_without_trust(status: Any, used: Any) -> None:
    assert month_used({"status": status}) == used
