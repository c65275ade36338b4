"""A job that begins has few passes, and each reads little twice."""

import asyncio
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.test_blocked_children import QUOTA
from tests.unit.finetune_operator.controller.test_crowds import version, watches
from tests.unit.finetune_operator.controller.world import KEY, OWNED, World
from tests.unit.finetune_operator.samples import finetunejob, job, merged

from finetune_api.values import format_time
from finetune_operator.job import read_specs
from finetune_operator.job.ownership import job_as_owner
from finetune_operator.kube import server_time
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, NAMESPACES


@pytest.mark.parametrize(
    ("event", "number", "looked_at"),
    [("ADDED", 5, 0), ("ADDED", 4, 1), ("MODIFIED", 6, 1), ("DELETED", 5, 1)],
    ids=["as it was made", "another", "changed", "gone"],
)
async def test_a_job_is_looked_at_again_but_for_the_news_that_the_operator_has_made_it(
    event: str, number: int, looked_at: int
) -> None:
    seen, made = watches(), merged(job(), OWNED)
    entry = seen._finetunejobs.get(KEY)
    assert entry is not None
    entry.made_job = "5"
    if event != "ADDED":
        seen.jobs.take({"type": "ADDED", "object": version(made, 5)})
    assert seen._queue.waiting()["changes"][0] == 0

    raw = merged(made, {"spec": {"suspend": True}}) if event == "MODIFIED" else made
    seen.jobs.take({"type": event, "object": version(raw, number)})

    assert seen._queue.waiting()["changes"][0] == looked_at


async def test_the_pass_that_makes_a_job_knows_it_from_then_on(world: World) -> None:
    await world.see()

    await world.reconcile()

    metadata = world.api.objects[JOBS.plural, "yelp"]["metadata"]
    entry = world.finetunejobs.get(KEY)
    assert entry is not None
    assert (entry.made_job, [*entry.jobs]) == (metadata["resourceVersion"], [job_as_owner("yelp", metadata["uid"])])


async def test_a_job_that_was_made_long_after_its_other_children_is_looked_at_again(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    world.api.failures.clear()
    world.time += 30

    await world.reconcile()

    entry = world.finetunejobs.get(KEY)
    assert entry is not None
    assert (entry.made_job, (JOBS.plural, "yelp") in world.api.objects) == ("", True)


async def test_a_job_that_was_there_already_or_is_suspended_is_looked_at_again(world: World) -> None:
    world.edit(suspend=True)
    await world.see()
    await world.reconcile()
    entry = world.finetunejobs.get(KEY)
    assert entry is not None
    suspended = entry.made_job
    world.edit(suspend=False)
    await world.see_finetunejobs()

    await world.reconcile()  # The cache of Jobs does not show it yet, and a second POST finds it.

    assert world.api.requests.count("create jobs") == 2
    assert (suspended, entry.made_job) == ("", "")


async def test_the_spec_of_a_job_that_begins_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def counted(name: str) -> None:
        plain = getattr(read_specs, name)

        def read(*given: Any) -> Any:
            reads.append(name)
            return plain(*given)

        monkeypatch.setattr(read_specs, name, read)

    counted("_read_spec")
    counted("effective_spec")
    world.api.put(FINETUNEJOBS, finetunejob({}))
    await world.see()

    await world.reconciler.reconcile(KEY)  # not that of the world, which reads it once more to compare

    assert (JOBS.plural, "yelp") in world.api.objects
    assert reads == ["_read_spec", "effective_spec"]


async def test_a_job_that_its_controller_has_not_taken_up_is_looked_at_after_half_a_minute_and_then_soon(
    world: World,
) -> None:
    await world.see()

    made = await world.reconcile()
    await world.see()
    seen = await world.reconcile()
    raw = world.api.objects[JOBS.plural, "yelp"]
    world.api.put(JOBS, merged(raw, {"status": {"startTime": format_time(server_time.now())}}))
    await world.see()
    taken_up = await world.reconcile()

    assert (made, seen, taken_up) == (30.0, 30.0, 5.0)


async def test_of_jobs_that_begin_at_once_one_reads_the_labels_of_their_namespace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.api.put(NAMESPACES, {"metadata": {"name": "team-a", "labels": {"team": "a"}}})
    plain, profiles = world.api.get, world.reconciler._profiles

    async def get(*given: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        return await plain(*given, **options)

    monkeypatch.setattr(world.api, "get", get)

    labels = await asyncio.gather(*(profiles._labels_of("team-a") for _ in range(12)))

    assert labels == 12 * [{"team": "a"}]
    assert world.api.requests.count("get namespaces") == 1
