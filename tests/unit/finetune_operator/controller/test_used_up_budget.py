"""A job waits for the next month where its namespace has used this one's GPU-hours."""

from datetime import UTC, datetime

import pytest
from tests.unit.finetune_operator.controller.settling import made_job, pass_of, profile
from tests.unit.finetune_operator.controller.world import World
from tests.unit.finetune_operator.samples import (
    finetunejob,
    reason_of,
)

from finetune_operator.kube.client import FINETUNEJOBS, PROFILES
from finetune_operator.kube.server_time import ServerTime


async def test_a_job_waits_for_the_next_month_where_its_namespace_has_used_this_one_up(fresh: World) -> None:
    fresh.api.put(PROFILES, profile(limits={"gpuSecondsPerNamespace": 7200}))
    fresh.month_used = 7200
    held = [each for each in await pass_of(fresh) if each.startswith("create")]
    wait = await fresh.reconcile()
    status = fresh.status()

    fresh.month_used = 0
    fresh.time += 60
    await pass_of(fresh)

    assert (held, status["phase"], reason_of(status)) == (["create events"], "Queued", "BudgetUsedUp")
    assert "has used 2 of the 2 GPU-hours that FineTuneProfile default gives it" in status["message"]
    assert status["waiting"]["budget"] == {"profile": "default", "allowedGpuSeconds": 7200, "usedGpuSeconds": 7200}
    assert "profile" not in status
    assert wait is not None
    assert made_job(fresh)["metadata"]["name"] == "yelp"


async def test_a_job_that_waits_for_the_next_month_is_looked_at_when_that_begins(
    fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerTime, "at", lambda self, ours: datetime(2026, 11, 30, 23, 59, 58, tzinfo=UTC))
    fresh.api.put(PROFILES, profile(limits={"gpuSecondsPerNamespace": 7200}))
    fresh.month_used = 7200
    await pass_of(fresh)

    assert await fresh.reconcile() == 2
    fresh.time += 2
    fresh.month_used = 0
    await fresh.reconcile()

    assert made_job(fresh)["metadata"]["name"] == "yelp"


async def test_a_job_without_gpus_has_no_part_in_the_budget(fresh: World) -> None:
    fresh.api.put(FINETUNEJOBS, finetunejob(resources={"gpus": 0}))
    fresh.api.put(PROFILES, profile(limits={"gpuSecondsPerNamespace": 0}))

    await pass_of(fresh)

    assert made_job(fresh)["metadata"]["name"] == "yelp"
