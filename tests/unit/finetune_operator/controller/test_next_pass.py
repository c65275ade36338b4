"""A job is looked at again at the next moment at which time alone, or what no watch shows, may change what is to be said or done of it."""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, QUOTA, World
from tests.unit.finetune_operator.samples import at, job, merged, pod

from finetune_api.values import format_time
from finetune_operator.job.observation import Observation
from finetune_operator.kube import server_time
from finetune_operator.kube.client import JOBS, PODS
from finetune_operator.kube.server_time import ServerTime

EXPLAINED: dict[str, Any] = {
    "waiting": {"reason": "CreateContainerConfigError", "message": 'secret "finetune-run" not found'}
}


async def test_a_pod_that_explains_itself_and_may_lack_what_was_deleted_is_looked_at_when_it_is_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerTime, "at", lambda self, ours: at(12))
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=EXPLAINED), OWNED_POD))
    await world.see()

    waits = [await world.reconcile() for _ in range(2)]

    # It was created at second 10, and gets five.
    assert waits == [3, 3]


async def test_what_kept_a_job_from_going_on_and_was_over_by_the_end_of_a_pass_is_looked_at_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    first = await world.reconcile()
    assert first is not None
    observe = world.reconciler._observer.observe

    async def observe_slowly(*arguments: Any) -> Observation:
        observed = await observe(*arguments)
        world.time += 2
        return observed

    monkeypatch.setattr(world.reconciler._observer, "observe", observe_slowly)
    await world.see_finetunejobs()
    world.time += first - 1

    assert await world.reconcile() == 0


async def test_a_job_that_was_begun_before_and_is_found_when_it_is_to_be_made_keeps_its_deadline(world: World) -> None:
    world.edit(runPolicy={"preRunningDeadlineSeconds": 60})
    await world.see()
    for _ in range(2):
        await world.reconcile()
        await world.see_finetunejobs()
    begun = server_time.now() - timedelta(seconds=50)
    world.api.put(JOBS, merged(world.api.objects[JOBS.plural, "yelp"], {"status": {"startTime": format_time(begun)}}))

    wait = await world.reconcile()

    assert "get jobs" in world.api.requests
    assert wait is not None
    assert wait <= 10
