"""How a job ends, also by being deleted, is written once, and nothing is made after it."""

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World, running_job
from tests.unit.finetune_operator.samples import (
    finetunejob,
    job,
    merged,
    pod,
    reason_of,
    stamp,
    terminated,
)

from finetune_operator.kube.client import (
    FINETUNEJOBS,
    JOBS,
    PODS,
)


async def test_nothing_is_made_while_the_finetunejob_is_being_deleted(world: World) -> None:
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
    await world.see()

    await world.reconcile()

    assert world.api.requests == []


async def test_a_job_that_is_deleted_is_ended_and_counted_whatever_keeps_the_object(world: World) -> None:
    """Its user can put any finalizer there, and have the GPUs for nothing."""
    async with running_job(world):
        raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
        world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
        await world.see()
        await world.reconcile()
        ended = world.api.objects[JOBS.plural, "yelp"]["metadata"]
        world.api.put(PODS, merged(pod(state=terminated(143)), OWNED_POD))
        await world.see()

        await world.reconcile()
        await world.see()
        requests = [await world.reconcile(), *world.api.requests]

    assert "deletionTimestamp" in ended  # and goes after its pods, so that a deletion in the foreground does, too
    (attempt,) = world.status()["attempts"]
    assert (attempt["exitCode"], attempt["podSeconds"]) == (143, world.status()["usage"]["podSeconds"])
    assert attempt["podSeconds"] > 0
    assert (world.status()["phase"], reason_of(world.status())) == ("Pending", "JobDeleted")
    assert "being deleted" in world.status()["message"]
    assert [each for each in requests if each and not isinstance(each, float)] == []


async def test_what_still_runs_of_a_job_that_was_deleted_as_soon_as_it_had_failed_is_ended_and_nothing_is_written(
    world: World,
) -> None:
    failure = {"reason": "ProgressStalled", "message": "it stood still"}
    raw = finetunejob({"phase": "Failed", "failure": failure, "observedGeneration": 1})
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
    world.api.put(JOBS, merged(job(), OWNED))
    await world.see()

    again = await world.reconcile()

    assert (again, world.api.requests) == (None, ["delete jobs"])


async def test_a_job_that_is_deleted_waits_for_no_room_any_more(world: World) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    await world.see()
    await world.reconcile()
    del world.api.objects[JOBS.plural, "yelp"]
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
    await world.see()
    world.time += 61
    await world.reconcile()
    await world.see()

    again = await world.reconcile()

    assert (again, reason_of(world.status())) == (None, "JobDeleted")


async def test_a_job_that_is_deleted_before_it_had_a_pod_says_so(world: World) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    await world.see()
    await world.reconcile()
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
    del world.api.objects[JOBS.plural, "yelp"]
    await world.see()
    world.time += 61

    await world.reconcile()

    assert (world.status()["phase"], reason_of(world.status())) == ("Pending", "JobDeleted")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_nothing_is_made_for_a_job_that_has_ended(world: World, phase: str) -> None:
    status = {"phase": phase, "observedGeneration": 1}
    world.api.put(FINETUNEJOBS, finetunejob(status))
    await world.see()

    await world.reconcile()

    assert world.api.requests == []


async def test_the_end_is_read_from_the_pods_as_they_stand_and_not_from_the_cache(world: World) -> None:
    async with running_job(world):
        world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
        await world.see()
        word = '{"exitCode": 0, "progress": {"step": 9, "percent": 100}}'
        world.api.put(PODS, merged(pod(state=terminated(0, "Completed", word)), OWNED_POD))

        await world.reconcile()

    assert world.status()["phase"] == "Succeeded"
    assert world.status()["progress"]["step"] == 9


async def test_pods_of_which_the_cache_shows_how_they_succeeded_are_not_listed(world: World) -> None:
    word = '{"exitCode": 0, "progress": {"step": 9, "percent": 100}}'
    async with running_job(world):
        world.api.put(PODS, merged(pod(state=terminated(0, "Completed", word)), OWNED_POD))
        world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
        await world.see()
        world.api.requests.clear()

        await world.reconcile()

    assert "list pods" not in world.api.requests
    assert (world.status()["phase"], world.status()["progress"]["step"]) == ("Succeeded", 9)


async def test_a_finished_job_gets_its_time_to_live_once(world: World) -> None:
    status = {"phase": "Succeeded", "observedGeneration": 1}
    world.api.put(FINETUNEJOBS, finetunejob(status, runPolicy={"ttlSecondsAfterFinished": 60}))
    world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
    await world.see()
    await world.reconcile()
    await world.see()

    await world.reconcile()

    assert world.api.objects[JOBS.plural, "yelp"]["spec"]["ttlSecondsAfterFinished"] == 60
    assert world.api.requests == []


async def test_a_job_that_never_ran_in_time_is_deleted_after_its_end_was_written(world: World) -> None:
    failure = {"reason": "PreRunningDeadlineExceeded", "message": "no pod ran"}
    world.api.put(FINETUNEJOBS, finetunejob({"phase": "Failed", "failure": failure, "observedGeneration": 1}))
    world.api.put(JOBS, merged(job(), OWNED))
    await world.see()

    await world.reconcile()

    assert world.api.requests == ["delete jobs"]


async def test_a_job_whose_trainer_had_finished_succeeds_and_the_pod_that_did_not_end_goes_with_its_job(
    world: World,
) -> None:
    ready = {"type": "Ready", "status": "False", "reason": "Finished", "lastTransitionTime": stamp(100)}
    progress = {"step": 9, "lastReportTime": stamp(100), "lastProgressTime": stamp(100)}
    before = {"phase": "Running", "conditions": [ready], "progress": progress}
    world.api.put(FINETUNEJOBS, finetunejob({**before, "attempts": [{"number": 1, "pod": "yelp-1"}]}))
    async with running_job(world):
        for _ in range(2):  # with the profile that it is given
            await world.reconcile()
            await world.see_finetunejobs()

    assert (world.status()["phase"], world.status()["attempts"][0]["reason"]) == ("Succeeded", "Completed")
    assert (JOBS.plural, "yelp") not in world.api.objects


@pytest.mark.thorough
async def test_the_end_of_a_job_is_written_at_once_after_any_number_of_transitions(world: World) -> None:
    async with running_job(world):
        for number in range(30):
            world.edit(suspend=number % 2 == 0)
            await world.see_finetunejobs()
            await world.see_children()
            await world.reconcile()
        world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
        await world.see()

        await world.reconcile()

    assert world.status()["phase"] == "Succeeded"
