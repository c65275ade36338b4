"""Who is told of an end is told at least once: whatever fails, whoever leads, however many others hang."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.polling import until
from tests.unit.finetune_operator.samples import finetunejob, job, merged, pod, settled, stamp, terminated
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_api.notify import NotifyTarget
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.notices import AT_ONCE, OF_A_RECEIVER, Notices
from finetune_operator.job.finetunejob import FineTuneJob, Key, parse_finetunejob
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS
from finetune_operator.kube.packed import unpack
from finetune_operator.metrics.instruments import NOTIFICATIONS
from finetune_operator.status.announcements.notices import Answer

NOTIFY = [{"name": "chat", "slack": {}}, {"name": "ci", "webhook": {"url": "https://ci.example/hook"}}]
DOWN = Answer(message="it answers 503 Service Unavailable")


@asynccontextmanager
async def at_work(notices: Notices) -> AsyncIterator[None]:
    task = asyncio.create_task(notices.work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def end(world: World, notify: list[dict[str, Any]] = NOTIFY) -> None:
    """The job succeeds, and its status says so."""
    world.api.put(FINETUNEJOBS, finetunejob(settled(), notify=notify))
    world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
    world.api.put(PODS, merged(pod(state=terminated(0)), OWNED_POD))
    await world.see()
    await world.reconcile()


def notifications(world: World) -> dict[str, tuple[str, int]]:
    """State and attempts of each, by its target."""
    return {each["target"]: (each["state"], each["attempts"]) for each in world.status()["notifications"]}


async def settle(world: World) -> None:
    """Each attempt that was made gets into the status."""
    while world.woken:
        world.woken.clear()
        await world.reconcile()


async def test_all_are_told_once_the_status_says_how_the_run_ended(world: World) -> None:
    before = NOTIFICATIONS.labels("team-a", "delivered")._value.get()
    async with at_work(world.notices):
        await end(world)
        pending = notifications(world)
        await until(lambda: len(world.woken) == 2)
        await settle(world)
        await world.reconcile()
        await asyncio.sleep(0.01)

    assert pending == {"chat": ("Pending", 0), "ci": ("Pending", 0)}
    assert sorted(world.told) == [("Succeeded", "chat"), ("Succeeded", "ci")]
    assert notifications(world) == {"chat": ("Delivered", 1), "ci": ("Delivered", 1)}
    assert NOTIFICATIONS.labels("team-a", "delivered")._value.get() == before + 2


async def test_nobody_is_told_of_an_end_that_could_not_be_written(world: World) -> None:
    world.api.failures["replace status of finetunejobs"] = refusal(500, "etcd is away")
    async with at_work(world.notices):
        with pytest.raises(Exception, match="500"):
            await end(world)
        await asyncio.sleep(0.01)

        assert world.told == []


@pytest.mark.slow
async def test_an_attempt_that_came_to_nothing_is_followed_by_another_when_that_is_due(world: World) -> None:
    world.answers["ci"] = DOWN
    async with at_work(world.notices):
        await end(world)
        await until(lambda: len(world.woken) == 2)
        await settle(world)
        await asyncio.sleep(0.01)
        first = world.status()["notifications"][1]
        told = len(world.told)
        world.answers.clear()
        await due(world)
        await until(lambda: len(world.told) == told + 1)
        await until(lambda: bool(world.woken))
        await settle(world)

    assert (first["state"], first["attempts"], first["message"]) == ("Pending", 1, DOWN.message)
    assert told == 2
    assert notifications(world) == {"chat": ("Delivered", 1), "ci": ("Delivered", 2)}


async def due(world: World) -> None:
    """The next attempt is due, and another operator has begun to lead."""
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    for each in raw["status"]["notifications"]:
        each.update({"nextAttemptTime": stamp(0)} if each["state"] == "Pending" else {})
    world.api.put(FINETUNEJOBS, raw)
    await world.see()
    world.finetunejobs.begin_anew()
    await world.reconcile()


async def test_an_attempt_that_is_due_in_thousands_of_years_is_made_within_an_hour(world: World) -> None:
    await end(world)
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    for each in raw["status"]["notifications"]:
        each["nextAttemptTime"] = "8999-12-31T23:59:59Z"
    world.api.put(FINETUNEJOBS, raw)
    world.finetunejobs.begin_anew()
    await world.see()
    await world.reconcile()

    now = asyncio.get_running_loop().time()
    waits = [timer.when() - now for timer in world.notices._timers.values()]
    world.notices._timers.clear()

    assert len(waits) == 2
    assert all(wait <= 3600 for wait in waits)


async def test_whoever_leads_next_tells_what_was_told_by_nobody(world: World) -> None:
    await end(world)
    nobody = list(world.told)
    world.finetunejobs.begin_anew()
    async with at_work(world.notices):
        await world.reconcile()
        await until(lambda: len(world.told) == 2)

    assert nobody == []


async def test_one_whose_delivery_could_not_be_written_is_told_again_by_the_next_leader(world: World) -> None:
    async with at_work(world.notices):
        await end(world)
        await until(lambda: len(world.woken) == 2)
        world.finetunejobs.begin_anew()
        await world.reconcile()
        await until(lambda: len(world.told) == 4)

    assert sorted(world.told) == [("Succeeded", "chat")] * 2 + [("Succeeded", "ci")] * 2


async def test_an_attempt_is_not_repeated_while_its_outcome_waits_to_be_written(world: World) -> None:
    async with at_work(world.notices):
        await end(world)
        await until(lambda: len(world.woken) == 2)
        world.api.failures["replace status of finetunejobs"] = refusal(500, "etcd is away")
        for _ in range(3):
            with pytest.raises(Exception, match="500"):
                await world.reconcile()
        world.api.failures.clear()
        await world.reconcile()
        await asyncio.sleep(0.01)

    assert len(world.told) == 2
    assert notifications(world) == {"chat": ("Delivered", 1), "ci": ("Delivered", 1)}


@pytest.mark.slow
async def test_one_that_is_named_no_more_is_given_up_with_an_event(world: World) -> None:
    world.answers["ci"] = DOWN
    async with at_work(world.notices):
        await end(world)
        await until(lambda: len(world.woken) == 2)
        await settle(world)
        world.edit(notify=NOTIFY[:1])
        await due(world)
        await until(lambda: bool(world.woken))
        await settle(world)

    events = [raw for (plural, _), raw in world.api.objects.items() if plural == "events"]
    assert notifications(world)["ci"] == ("GivenUp", 2)
    assert [each["message"] for each in events if each["reason"] == "NotificationFailed"] == [
        "ci is not told after 2 attempts: spec.notify names it no more"
    ]


async def test_a_run_that_another_follows_is_not_told_of_any_more(world: World) -> None:
    await end(world)
    world.edit(runToken="2")
    await world.see()
    await world.reconcile()
    async with at_work(world.notices):
        await asyncio.sleep(0.01)

    assert world.told == []
    assert "notifications" not in world.status()


def ended(namespace: str, number: int, *targets: str) -> dict[str, Any]:
    """A job whose end these are to be told of."""
    status = {**settled(), "phase": "Succeeded", "notifications": [{"target": each} for each in targets]}
    metadata = {"namespace": namespace, "uid": f"{namespace}-{number}"}
    return merged(finetunejob(status, name=f"job-{number}", notify=NOTIFY), {"metadata": metadata})


@pytest.mark.slow
def test_receivers_that_hang_keep_no_other_namespace_from_being_told_at_once() -> None:
    """Of 12 namespaces each has 50 ends to tell, and neither their receivers nor one of team-a's ever answer."""
    told: dict[str, float] = {}
    under_way = most = 0

    async def program() -> None:
        loop = asyncio.get_running_loop()

        async def send(finetunejob: FineTuneJob, target: NotifyTarget) -> Answer:
            nonlocal under_way, most
            if finetunejob.namespace == "team-a" and target.name == "chat":
                told[finetunejob.name] = loop.time()
                return Answer(delivered=True)
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(10)
            under_way -= 1
            return DOWN

        finetunejobs = FineTuneJobs(lambda _: None)
        notices = Notices(finetunejobs, read, send, on_tried=lambda _: None)

        def take_up(raw: dict[str, Any]) -> None:
            finetunejobs.update(raw)
            notices.take_up(Key(raw["metadata"]["namespace"], raw["metadata"]["name"]))

        async with at_work(notices):
            for namespace in range(12):
                for number in range(50):
                    take_up(ended(f"hangs-{namespace}", number, "chat", "ci"))
            for number in range(50):
                take_up(ended("team-a", number, "ci"))
            await asyncio.sleep(5)
            for number in range(50, 60):
                take_up(ended("team-a", number, "chat", "ci"))
            await asyncio.sleep(60)

    run_in_virtual_time(program())

    assert most == (12 * 2 + 1) * OF_A_RECEIVER <= AT_ONCE * OF_A_RECEIVER
    assert len(told) == 10
    assert set(told.values()) == {5.0}


def read(entry: Entry) -> FineTuneJob:
    return parse_finetunejob(unpack(entry.packed))
