"""While an operator leads, what somebody else writes into a status decides nothing, and is written over."""

from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ConflictException, NotFoundException
from tests.unit.finetune_operator.controller.world import KEY, OWNED, OWNED_POD, World
from tests.unit.finetune_operator.samples import finetunejob, job, merged, pod, running, terminated

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS

FORGED: dict[str, Any] = {
    "nothing is left": None,
    "an attempt used more": {"attempts": [{"number": 1, "pod": "yelp-1", "podSeconds": 10**9}]},
    "there was no attempt": {"attempts": []},
    "another attempt used much": {"attempts": [{"number": 7, "pod": "other", "podSeconds": 10**9}]},
    "the month is used up": {"usage": {"until": "2026-11-20T12:00:00Z", "month": {"month": "2026-11", "gpuSeconds": 10**9}}},
    "it is another month": {"usage": {"until": "2999-01-01T00:00:00Z", "month": {"month": "2999-01", "gpuSeconds": 0}}},
    "nothing was used": {"usage": None},
    "it has ended": {"phase": "Failed", "completionTime": "2026-11-20T12:00:00Z"},
    "it has succeeded": {"phase": "Succeeded"},
    "it is another run": {"run": {"number": 5}},
    "it is in another place": {"model": {"uri": "s3://attacker/model"}},
    "nonsense": {"phase": 7, "attempts": "x", "conditions": {}},
}  # fmt: skip


async def begin(world: World) -> dict[str, Any]:
    """A job that has run for a while. Returns its status."""
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    await world.see()
    await world.reconcile()
    await world.see()
    return world.status()


def forge(world: World, fields: dict[str, Any] | None) -> None:
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    status = {} if fields is None else {**raw["status"], **fields}
    world.api.put(FINETUNEJOBS, {**raw, "status": {name: value for name, value in status.items() if value is not None}})


@pytest.mark.parametrize("fields", FORGED.values(), ids=FORGED)
async def test_a_status_of_somebody_else_counts_for_nothing_and_is_written_over(
    world: World,
    fields: dict[str, Any] | None,
) -> None:
    before = await begin(world)
    world.used.clear()

    forge(world, fields)
    await world.see()
    forged = list(world.used)
    await world.reconcile()
    requests = list(world.api.requests)
    await world.see()
    await world.reconcile()

    assert forged == []
    assert world.status() == before
    # The namespace's authority and NetworkPolicy may have been written over as well.
    assert [each for each in requests if each.split()[0] != "get"] == ["replace status of finetunejobs"]
    assert world.api.requests == []


async def test_what_comes_while_a_status_is_written_waits_for_that(world: World) -> None:
    await begin(world)
    replace_status = world.api.replace_status

    async def meanwhile(*arguments: Any, **options: Any) -> dict[str, Any]:
        written = await replace_status(*arguments, **options)
        await world.see_finetunejobs()  # Its event, before the answer,
        forge(world, {"phase": "Failed", "usage": None})
        await world.see_finetunejobs()  # and at once another one.
        return written

    world.api.replace_status = meanwhile  # type: ignore[method-assign]
    world.api.put(PODS, merged(pod(state=terminated(1)), OWNED_POD))
    await world.see()
    await world.reconcile()
    world.api.replace_status = replace_status  # type: ignore[method-assign]
    raw = world.finetunejobs.get(KEY)
    assert raw is not None
    known = raw.raw["status"]
    await world.reconcile()

    assert raw.own.falsified is False
    assert known["attempts"][0]["exitCode"] == 1
    assert known["usage"]["podSeconds"] > 0
    assert world.status() == known


def test_of_all_that_comes_while_a_status_is_written_the_newest_alone_is_held() -> None:
    jobs, first = FineTuneJobs(lambda _: None), finetunejob({"phase": "Pending"})
    jobs.update(merged(first, {"metadata": {"resourceVersion": "1"}}))
    key = jobs.all_keys()[0]
    entry = jobs.get(key)
    assert entry is not None

    with jobs.writing_status(key):
        for version in ("2", "4", "3"):
            jobs.update(merged(first, {"metadata": {"resourceVersion": version}}))
        held = entry.own.later and entry.own.later["metadata"]["resourceVersion"]

    assert held == "4"
    assert entry.packed["metadata"]["resourceVersion"] == "4"


@pytest.mark.parametrize("seen_first", [True, False])
async def test_a_write_of_which_no_answer_came_is_known_after_another(world: World, seen_first: bool) -> None:
    await begin(world)
    replace_status = world.api.replace_status

    async def lost(*arguments: Any, **options: Any) -> dict[str, Any]:
        await replace_status(*arguments, **options)
        raise TimeoutError

    world.edit(suspend=False)
    await world.see()
    world.api.replace_status = lost  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        await world.reconcile()
    world.api.replace_status = replace_status  # type: ignore[method-assign]
    if seen_first:
        await world.see()
    for _ in range(3):
        await world.reconcile()
    world.api.requests.clear()
    await world.reconcile()
    entry = world.finetunejobs.get(KEY)

    assert entry is not None
    assert entry.raw["status"] == world.status()
    assert world.api.requests == []


async def test_a_job_that_is_deleted_while_its_status_is_written_stays_so(world: World) -> None:
    await begin(world)
    replace_status = world.api.replace_status

    async def meanwhile(*arguments: Any, **options: Any) -> dict[str, Any]:
        written = await replace_status(*arguments, **options)
        forge(world, {"phase": "Failed"})
        await world.see_finetunejobs()
        world.finetunejobs.gone(world.api.objects.pop((FINETUNEJOBS.plural, "yelp")))
        return written

    world.api.replace_status = meanwhile  # type: ignore[method-assign]
    world.api.put(PODS, merged(pod(state=terminated(1)), OWNED_POD))
    await world.see()
    await world.reconcile()

    assert world.finetunejobs.get(KEY) is None


@pytest.mark.parametrize("failure", [NotFoundException(status=404), ConflictException(status=409)])
async def test_a_job_that_takes_the_place_of_one_whose_status_is_written_stays_known(
    world: World,
    failure: Exception,
) -> None:
    await begin(world)
    get = world.api.get

    async def succeed() -> None:
        world.finetunejobs.gone(world.api.objects.pop((FINETUNEJOBS.plural, "yelp")))
        world.api.put(FINETUNEJOBS, merged(finetunejob(), {"metadata": {"uid": "successor"}}))
        await world.see_finetunejobs()

    async def refused(*_: Any, **__: Any) -> dict[str, Any]:
        if isinstance(failure, NotFoundException):
            await succeed()
        raise failure

    async def gone(kind: Any, *names: Any, **options: Any) -> dict[str, Any] | None:
        if kind is not FINETUNEJOBS:
            return await get(kind, *names, **options)
        await succeed()
        return None

    world.api.replace_status = refused  # type: ignore[method-assign]
    world.api.get = gone  # type: ignore[method-assign]
    world.api.put(PODS, merged(pod(state=terminated(1)), OWNED_POD))
    await world.see()
    await world.reconcile()
    entry = world.finetunejobs.get(KEY)

    assert entry is not None
    assert entry.uid == "successor"


async def test_who_writes_a_status_again_and_again_costs_no_more_than_others(world: World) -> None:
    await begin(world)

    for _ in range(50):
        forge(world, {"phase": "Failed"})
        await world.see_finetunejobs()
        wait = await world.reconcile()

    assert world.api.requests.count("replace status of finetunejobs") <= 11
    assert wait is not None
    assert wait > 1


@pytest.mark.parametrize("leads", [True, False])
async def test_who_does_not_lead_goes_by_the_status_that_is_there(leads: bool) -> None:
    jobs = FineTuneJobs(lambda _: None, leads=lambda: leads)
    first = merged(finetunejob({"phase": "Pending"}), {"metadata": {"resourceVersion": "1"}})
    jobs.update(first)
    key = jobs.all_keys()[0]
    with jobs.writing_status(key) as wrote:
        wrote(merged(first, {"metadata": {"resourceVersion": "2"}, "status": {"phase": "Running"}}))

    jobs.update(merged(first, {"metadata": {"resourceVersion": "3"}, "status": {"phase": "Failed"}}))
    entry = jobs.get(key)
    assert entry is not None
    seen = entry.raw["status"]["phase"]
    jobs.stand_by()
    jobs.update(merged(first, {"metadata": {"resourceVersion": "4"}, "status": {"phase": "Succeeded"}}))

    assert (seen, entry.own.falsified) == ("Running" if leads else "Failed", False)
    assert entry.raw["status"]["phase"] == "Succeeded"


async def test_who_leads_no_more_learns_what_somebody_else_has_written_before(world: World) -> None:
    own = await begin(world)
    forge(world, {"message": "forged"})
    await world.see_finetunejobs()
    entry = world.finetunejobs.get(KEY)
    assert entry is not None
    before = entry.raw["status"]

    world.finetunejobs.stand_by()
    await world.see_finetunejobs()

    assert before == own
    assert entry.raw["status"] == {**own, "message": "forged"}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_an_end_that_somebody_writes_while_no_operator_is_there_gives_nobody_a_run_for_nothing(
    world: World,
    phase: str,
) -> None:
    await begin(world)
    forge(world, {"phase": phase})
    world.finetunejobs.stand_by()
    world.finetunejobs.begin_anew()
    await world.see()

    await world.reconcile()
    await world.see()
    await world.reconcile()

    assert ("jobs", "yelp") not in world.api.objects
    assert world.status()["phase"] == phase


async def test_a_job_whose_end_the_cache_does_not_show_yet_is_left_to_its_time_to_live(world: World) -> None:
    await begin(world)
    forge(world, {"phase": "Succeeded"})
    world.finetunejobs.stand_by()
    await world.see()
    world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))

    await world.reconcile()

    assert ("jobs", "yelp") in world.api.objects
