"""Kueue is asked why a Job waits in its queue and holds back one that is suspended, where it may be read; where not, nothing is asked again and again."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.aio.client import ApiException
from kubernetes.aio.client.exceptions import ConflictException
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.job.test_workload import LINE, NO_ROOM, PENDING, RESERVED, workload
from tests.unit.finetune_operator.samples import finetunejob, job, line, merged, parsed, pod, running, settled

from finetune_operator.controller.children.kueue import Kueue
from finetune_operator.controller.entry import Entry
from finetune_operator.job.parse_children import parse_job
from finetune_operator.job.workload import InQueue
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS, Kind
from finetune_operator.kube.pages import Page

QUEUE = {"kueue.x-k8s.io/queue-name": "team-a"}
WAITING = merged(job(suspend=True, start=None), {"metadata": {"labels": QUEUE}})
TRAINS = merged(merged(job(), OWNED), {"metadata": {"labels": QUEUE}})
WORKLOADS, QUEUES = Kind("/apis/kueue.x-k8s.io/v1beta2", "workloads"), Kind("", "localqueues")
MARK = "finetune.dev/deactivated"


@pytest.fixture
def queued(world: World) -> World:
    """A world with Kueue."""
    world.reconciler._ensurer._children._sync._kueue = Kueue(world.api, lambda: world.time)
    return world


async def trains(world: World, raw: dict[str, Any]) -> None:
    """A job of a queue trains, and Kueue has admitted its Workload `raw`."""
    world.api.put(FINETUNEJOBS, finetunejob(settled(), pod={"labels": QUEUE}))
    world.api.put(JOBS, TRAINS)
    world.api.put(WORKLOADS, raw)
    await world.see()
    await world.reconcile()


async def suspend(world: World, value: bool) -> None:
    world.edit(suspend=value)
    await world.see()
    await world.reconcile()


def held(world: World) -> tuple[bool, bool]:
    """Whether the Workload is active, and whether the operator says that it deactivated it."""
    raw = world.api.objects["workloads", "job-yelp-19797"]
    return raw["spec"]["active"], MARK in (raw["metadata"].get("annotations") or {})


def suspended(world: World) -> bool:
    value: bool = world.api.objects["jobs", "yelp"]["spec"]["suspend"]
    return value


def started_again(world: World) -> dict[str, Any]:
    """The Job as Kueue starts it."""
    return merged(
        world.api.objects["jobs", "yelp"], {"spec": {"suspend": False}, "status": {"startTime": "2026-11-28T13:00:00Z"}}
    )


async def why_in_queue(kueue: Kueue, raw: dict[str, Any]) -> InQueue | None:
    given = parsed()
    assert given.spec is not None
    return await kueue.ensure(given, given.spec, parse_job(raw), Entry({}))


async def test_what_the_workload_says_is_in_the_status_with_the_place_in_the_queue(queued: World) -> None:
    queued.api.put(FINETUNEJOBS, finetunejob(settled(), pod={"labels": QUEUE}))
    queued.api.put(JOBS, merged(WAITING, OWNED))
    queued.api.put(WORKLOADS, workload(PENDING))
    queued.api.put(QUEUES, {"metadata": {"name": "team-a"}, "items": LINE})
    await queued.see()

    again = await queued.reconcile()
    status = queued.status()

    assert line(status) == (
        "Queued",
        "WaitingForQuota",
        f"waiting for quota in the queue team-a, at place 7: {NO_ROOM}",
    )
    assert {**status["waiting"], "since": None} == {"reason": "WaitingForQuota", "position": 7, "since": None}
    assert again is not None
    assert again <= 30

    queued.api.put(JOBS, merged(merged(job(), OWNED), {"metadata": {"labels": QUEUE}}))
    await queued.see()
    await queued.reconcile()

    assert "waiting" not in queued.status()


async def test_a_job_that_its_user_suspends_is_held_back_in_its_queue_before_its_job_is(queued: World) -> None:
    await trains(queued, workload(RESERVED))

    await suspend(queued, True)

    assert held(queued) == (False, True)
    assert suspended(queued)
    changes = [request for request in queued.api.requests if request.startswith("merge")]
    assert changes == ["merge workloads", "merge jobs"]
    assert queued.status()["message"] == "suspended; set spec.suspend to false to go on"


async def test_a_job_that_goes_on_is_started_by_its_queue_alone(queued: World) -> None:
    await trains(queued, workload(RESERVED, PENDING))
    await suspend(queued, True)

    await suspend(queued, False)

    assert held(queued) == (True, False)
    assert suspended(queued), "Kueue would stop a Job that it has not admitted"
    assert queued.status()["phase"] == "Queued"
    assert "deactivated" not in queued.status()["message"]

    await suspend(queued, True)

    assert held(queued) == (False, True)


async def test_what_somebody_else_deactivated_stays_so_whatever_the_user_does(queued: World) -> None:
    await trains(queued, workload(RESERVED, active=False))

    await suspend(queued, True)
    await suspend(queued, False)

    assert held(queued) == (False, False)
    assert line(queued.status())[:2] == ("Queued", "WorkloadDeactivated")


async def test_what_is_deactivated_after_the_user_has_gone_on_stays_so(queued: World) -> None:
    await trains(queued, workload(RESERVED))
    await suspend(queued, True)
    await suspend(queued, False)
    raw = queued.api.objects["workloads", "job-yelp-19797"]

    queued.api.put(WORKLOADS, merged(raw, {"spec": {"active": False}}))
    queued.time += 3600
    await queued.see()
    await queued.reconcile()

    assert held(queued) == (False, False)
    assert queued.status()["waiting"]["reason"] == "WorkloadDeactivated"


async def test_a_workload_that_comes_late_or_is_made_anew_is_found(queued: World) -> None:
    queued.api.put(FINETUNEJOBS, finetunejob(settled(), suspend=True, pod={"labels": QUEUE}))
    queued.api.put(JOBS, merged(WAITING, OWNED))
    await queued.see()
    again = await queued.reconcile()
    assert again is not None
    assert again <= 30

    for _ in range(2):
        queued.api.put(WORKLOADS, workload(PENDING))
        queued.time += 60
        await queued.see_children()
        await queued.reconcile()
        assert held(queued) == (False, True)


async def test_a_job_that_kueue_has_started_again_is_stopped_by_its_workload(queued: World) -> None:
    await trains(queued, workload(RESERVED))
    await suspend(queued, True)
    queued.api.put(WORKLOADS, workload(RESERVED))
    queued.api.put(JOBS, started_again(queued))
    queued.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    await queued.see()

    await queued.reconcile()

    assert held(queued) == (False, True)
    assert "Kueue, which had started the Job again, stops it" in queued.status()["message"]


@pytest.mark.parametrize("code", [403, 400, 422], ids=["no right", "a webhook or policy", "Kueue's own rules"])
async def test_a_job_whose_workload_cannot_be_deactivated_is_suspended_and_says_what_to_grant(
    queued: World, code: int
) -> None:
    await trains(queued, workload(RESERVED))
    queued.api.failures["merge workloads"] = refusal(code, "workloads is forbidden")

    await suspend(queued, True)

    why = "the operator may not deactivate its Workload job-yelp-19797 (workloads is forbidden): grant it patch on workloads, or do it"
    assert suspended(queued)
    assert queued.status()["message"] == (
        f"suspended; set spec.suspend to false to go on; Kueue may start it before, since {why}"
    )

    queued.api.put(JOBS, started_again(queued))
    await queued.see()
    await queued.reconcile()

    assert queued.status()["message"].startswith(f"spec.suspend is set, and Kueue started the Job again, since {why}: ")


async def test_without_the_right_to_activate_the_status_says_so(queued: World) -> None:
    await trains(queued, workload(RESERVED))
    await suspend(queued, True)
    queued.api.failures["merge workloads"] = refusal(403, "workloads is forbidden")

    await suspend(queued, False)

    assert queued.status()["message"] == (
        "the Workload job-yelp-19797 is deactivated: set its spec.active to true to have it queued again; "
        "the operator may not activate its Workload job-yelp-19797 (workloads is forbidden)"
    )


async def test_a_workload_is_activated_within_half_a_minute_once_the_right_is_given(queued: World) -> None:
    await trains(queued, workload(RESERVED))
    await suspend(queued, True)
    right = 'workloads.kueue.x-k8s.io "job-yelp-19797" is forbidden: User "operator" cannot patch resource "workloads"'
    queued.api.failures["merge workloads"] = refusal(403, right)
    await suspend(queued, False)
    await queued.see()
    for _ in range(240):
        queued.time += 15
        await queued.reconcile()

    queued.api.failures.clear()
    queued.time += 31
    await queued.reconcile()

    assert queued.api.objects["workloads", "job-yelp-19797"]["spec"]["active"] is True


async def test_a_workload_that_another_changes_meanwhile_is_looked_at_again_before_the_job_is_changed(
    queued: World,
) -> None:
    await trains(queued, workload(RESERVED))
    queued.api.failures["merge workloads"] = ConflictException(status=409)

    with pytest.raises(ConflictException):
        await suspend(queued, True)
    assert not suspended(queued)
    queued.api.failures.clear()
    await queued.reconcile()

    assert held(queued) == (False, True)
    assert suspended(queued)


async def test_a_running_job_that_nobody_suspends_costs_no_question(queued: World) -> None:
    await trains(queued, workload(RESERVED))
    await queued.reconcile()

    assert "list workloads" not in queued.api.requests


@pytest.mark.parametrize(
    ("code", "asked"), [(404, 2), (403, 1)], ids=["no such kind, in either version", "no right to read it"]
)
async def test_without_kueue_or_rights_nothing_is_asked_for_ten_minutes(code: int, asked: int) -> None:
    api, now = FakeApi(), 0.0
    clock: Callable[[], float] = lambda: now  # noqa: E731
    kueue = Kueue(api, clock)
    api.failures["list workloads"] = refusal(code, "no")

    said = [await why_in_queue(kueue, WAITING) for _ in range(3)]
    at_first = len(api.requests)
    now = 601.0
    await why_in_queue(kueue, WAITING)

    assert said == [None, None, None]
    assert (at_first, len(api.requests)) == (asked, 2 * asked)


async def test_without_the_visibility_api_only_the_place_is_missing() -> None:
    api = FakeApi()
    api.put(WORKLOADS, workload(PENDING))
    api.failures["get localqueues"] = refusal(403, "no")

    said = await why_in_queue(Kueue(api), WAITING)

    assert said is not None
    assert (said.message, said.position) == (f"waiting for quota in the queue team-a: {NO_ROOM}", None)


async def test_a_job_without_a_queue_is_none_of_kueues() -> None:
    api = FakeApi()
    without: dict[str, Any] = job(suspend=True, start=None)

    assert await why_in_queue(Kueue(api), without) is None
    assert api.requests == []


async def test_of_any_number_of_workloads_with_the_label_of_a_job_few_pages_are_read_and_little_is_kept() -> None:
    read: list[int] = []

    class Crowded(FakeApi):
        async def pages(self, kind: Kind, namespace: str | None, read_one: Any = None, *_: Any, **__: Any) -> Any:  # type: ignore[override]
            for number in range(100):
                read.append(number)
                found = [read_one(workload(name=f"w{number}", podSets=["x" * 90_000])) if number == last else None]
                yield Page([each for each in found if each is not None], "1")

    for last, pages in ((1, 2), (50, 4)):
        read.clear()
        said = await why_in_queue(Kueue(Crowded()), WAITING)
        assert (said is not None, len(read)) == (last == 1, pages)


async def test_a_workload_that_cannot_be_read_for_long_keeps_no_status_from_being_written(queued: World) -> None:
    queued.api.put(FINETUNEJOBS, finetunejob(settled(), pod={"labels": QUEUE}))
    queued.api.put(JOBS, merged(WAITING, OWNED))
    queued.api.failures["list workloads"] = refusal(500, "conversion webhook failed")
    await queued.see()

    for _ in range(2):
        with pytest.raises(ApiException):
            await queued.reconcile()
    again = await queued.reconcile()

    assert again is not None
    assert queued.status()["message"] == (
        "waiting for quota in the queue team-a; its Workload cannot be read (500 refused)"
    )

    queued.edit(suspend=True)
    await queued.see()
    await queued.reconcile()

    assert suspended(queued)
    assert "Kueue may start it before, since its Workload cannot be read (500 refused)" in queued.status()["message"]


async def test_a_visibility_api_that_fails_costs_the_place_alone() -> None:
    api = FakeApi()
    api.put(WORKLOADS, workload(PENDING))
    api.failures["get localqueues"] = refusal(503, "service unavailable")

    said = await why_in_queue(Kueue(api), WAITING)

    assert said is not None
    assert (said.reason, said.position) == ("WaitingForQuota", None)


@pytest.mark.parametrize("answer", ["places", "no right", "no answer"])
async def test_jobs_that_wait_in_one_queue_ask_once_for_their_places(answer: str) -> None:
    api, now = FakeApi(), 0.0
    api.put(WORKLOADS, workload(PENDING))
    api.put(QUEUES, {"metadata": {"name": "team-a"}, "items": LINE})
    if answer != "places":
        api.failures["get localqueues"] = refusal(403, "no") if answer == "no right" else TimeoutError()
    kueue = Kueue(api, lambda: now)

    first = await asyncio.gather(*(why_in_queue(kueue, WAITING) for _ in range(20)))
    first += [await why_in_queue(kueue, WAITING) for _ in range(20)]
    asked = api.requests.count("get localqueues")
    now = 61.0
    await why_in_queue(kueue, WAITING)

    assert {said and said.position for said in first} == {7 if answer == "places" else None}
    assert (asked, api.requests.count("get localqueues")) == (1, 2)
