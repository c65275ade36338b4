"""A suspension is written once, and that of another is not fought."""

import pytest
from kubernetes.aio.client.exceptions import ConflictException
from tests.unit.finetune_operator.controller.world import OWNED, World, running_job
from tests.unit.finetune_operator.samples import (
    job,
    merged,
)

from finetune_operator.kube.client import (
    JOBS,
)


async def test_a_suspension_whose_answer_was_lost_is_taken_back_though_another_change_comes_before_its_news(
    world: World,
) -> None:
    async with running_job(world):
        stale = world.api.objects[JOBS.plural, "yelp"]
        taken = {
            "metadata": {"annotations": {"finetune.dev/requested": '{"backoffLimit": 3, "suspend": true}'}},
            "spec": {"suspend": True},
        }
        world.api.put(JOBS, merged(stale, taken))
        world.edit(runPolicy={"backoffLimit": 5})
        await world.see_finetunejobs()
        with pytest.raises(ConflictException):
            await world.reconcile()
        await world.see()
        await world.reconcile()

    made = world.api.objects[JOBS.plural, "yelp"]["spec"]
    assert (made["suspend"], made["backoffLimit"]) == (False, 5)


async def test_suspending_and_resuming_patch_the_job_once_each(world: World) -> None:
    async with running_job(world):
        world.edit(suspend=True)
        await world.see()
        await world.reconcile()
        suspended = world.api.objects[JOBS.plural, "yelp"]["spec"]["suspend"], world.status()["phase"]
        world.edit(suspend=False)
        await world.see()
        await world.reconcile()

    assert suspended == (True, "Suspended")
    assert world.api.objects[JOBS.plural, "yelp"]["spec"]["suspend"] is False
    assert world.api.requests.count("merge jobs") == 1


async def test_a_suspension_by_kueue_is_not_fought(world: World) -> None:
    async with running_job(world):
        world.api.put(JOBS, merged(job(suspend=True, start=None), OWNED))
        await world.see()

        await world.reconcile()

    assert "merge jobs" not in world.api.requests
    assert world.status()["phase"] == "Queued"


@pytest.mark.slow
async def test_a_user_who_suspends_and_resumes_all_the_time_costs_few_writes_and_an_event_a_minute(
    world: World,
) -> None:
    async with running_job(world):
        world.api.requests.clear()
        for second in range(600):
            world.time += 1
            world.edit(suspend=second % 2 == 0)
            await world.see_finetunejobs()
            await world.see_children()
            await world.reconcile()

    assert world.api.requests.count("replace status of finetunejobs") <= 10 + 600 / 60 + 1
    assert world.api.requests.count("create events") <= 2 * (600 / 60 + 1)
