"""Kueue is asked why a Job waits in its queue, where it may be read; where not, nothing is asked again and again."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.test_reconciler import OWNED, World, world  # noqa: F401 - a fixture
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.job.test_workload import LINE, NO_ROOM, PENDING, workload
from tests.unit.finetune_operator.samples import finetunejob, job, line, merged, settled

from finetune_operator.controller.kueue import Kueue
from finetune_operator.job.parse_children import parse_job
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, Kind

QUEUE = {"kueue.x-k8s.io/queue-name": "team-a"}
WAITING = merged(job(suspend=True, start=None), {"metadata": {"labels": QUEUE}})
WORKLOADS, QUEUES = Kind("/apis/kueue.x-k8s.io/v1beta2", "workloads"), Kind("", "localqueues")


async def test_what_the_workload_says_is_in_the_status_with_the_place_in_the_queue(world: World) -> None:  # noqa: F811
    world.reconciler._observer._explainer._kueue = Kueue(world.api, lambda: world.time)
    world.api.put(FINETUNEJOBS, finetunejob(settled(), pod={"labels": QUEUE}))
    world.api.put(JOBS, merged(WAITING, OWNED))
    world.api.put(WORKLOADS, workload(PENDING))
    world.api.put(QUEUES, {"metadata": {"name": "team-a"}, "items": LINE})
    await world.see()

    again = await world.reconcile()
    status = world.status()

    assert line(status) == (
        "Queued",
        "WaitingForQuota",
        f"waiting for quota in the queue team-a, at place 7: {NO_ROOM}",
    )
    assert {**status["waiting"], "since": None} == {"reason": "WaitingForQuota", "position": 7, "since": None}
    assert again is not None
    assert again <= 30

    world.api.put(JOBS, merged(merged(job(), OWNED), {"metadata": {"labels": QUEUE}}))
    await world.see()
    await world.reconcile()

    assert "waiting" not in world.status()


async def test_a_job_that_its_user_suspends_is_not_asked_about(world: World) -> None:  # noqa: F811
    world.reconciler._observer._explainer._kueue = Kueue(world.api, lambda: world.time)
    world.api.put(FINETUNEJOBS, finetunejob(settled(), suspend=True, pod={"labels": QUEUE}))
    world.api.put(JOBS, merged(WAITING, OWNED))
    await world.see()

    await world.reconcile()

    assert "list workloads" not in world.api.requests


@pytest.mark.parametrize(
    ("code", "asked"), [(404, 2), (403, 1)], ids=["no such kind, in either version", "no right to read it"]
)
async def test_without_kueue_or_rights_nothing_is_asked_for_ten_minutes(code: int, asked: int) -> None:
    api, now = FakeApi(), 0.0
    clock: Callable[[], float] = lambda: now  # noqa: E731
    kueue = Kueue(api, clock)
    api.failures["list workloads"] = refusal(code, "no")

    said = [await kueue.why_in_queue("team-a", parse_job(WAITING)) for _ in range(3)]
    at_first = len(api.requests)
    now = 601.0
    await kueue.why_in_queue("team-a", parse_job(WAITING))

    assert said == [None, None, None]
    assert (at_first, len(api.requests)) == (asked, 2 * asked)


async def test_without_the_visibility_api_only_the_place_is_missing() -> None:
    api = FakeApi()
    api.put(WORKLOADS, workload(PENDING))
    api.failures["get localqueues"] = refusal(403, "no")

    said = await Kueue(api).why_in_queue("team-a", parse_job(WAITING))

    assert said is not None
    assert (said.message, said.position) == (f"waiting for quota in the queue team-a: {NO_ROOM}", None)


async def test_a_job_without_a_queue_is_none_of_kueues() -> None:
    api = FakeApi()
    without: dict[str, Any] = job(suspend=True, start=None)

    assert await Kueue(api).why_in_queue("team-a", parse_job(without)) is None
    assert api.requests == []
