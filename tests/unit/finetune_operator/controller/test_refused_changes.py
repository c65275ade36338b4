"""What the API server refuses to change or delete, as a policy of the cluster may for ever, keeps no status from being written."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.test_stall import QUEUE, STALLED
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.samples import finetunejob, job, merged, pod, running, settled, terminated

from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS

NO = "ValidatingAdmissionPolicy 'theirs' denied request: no"
POLICIES = [refusal(403, NO), refusal(422, NO)]


def asked(world: World) -> list[str]:
    """The writes of Jobs since the caches came up to date."""
    return [each for each in world.api.requests if each in ("merge jobs", "delete jobs")]


@pytest.mark.parametrize("refused", POLICIES)
async def test_a_job_that_may_not_be_suspended_goes_on_with_its_numbers_and_the_status_says_what_was_refused(
    world: World,
    refused: Any,
) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    world.api.failures["merge jobs"] = refused
    world.edit(suspend=True)
    await world.see()

    again = await world.reconcile()

    assert world.status()["phase"] == "Preparing"
    assert world.status()["message"].startswith(
        f"the Job yelp cannot be changed ({NO}); spec.suspend is set, and its Job runs on: the pod runs"
    )
    assert (asked(world), again is not None and 0 < again <= 600) == (["merge jobs"], True)


@pytest.mark.thorough
async def test_what_was_refused_is_asked_for_again_ever_more_seldom_and_at_once_for_another_spec(
    world: World,
) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    world.api.failures["merge jobs"] = POLICIES[0]
    world.edit(suspend=True)
    await world.see()
    for _ in range(240):
        await world.reconcile()
        world.time += 15
    within_an_hour = len(asked(world))

    world.edit(runPolicy={"backoffLimit": 1})
    await world.see()
    await world.reconcile()
    of_another = asked(world)
    world.api.failures.clear()
    world.time += 601
    await world.reconcile()
    await world.see()
    await world.reconcile()

    assert (5 < within_an_hour < 20, of_another) == (True, ["merge jobs"])
    assert world.api.objects[JOBS.plural, "yelp"]["spec"]["suspend"] is True
    assert "cannot be changed" not in world.status()["message"]


@pytest.mark.parametrize("refused", POLICIES)
async def test_a_job_of_a_queue_that_may_not_be_deleted_says_so(world: World, refused: Any) -> None:
    world.api.put(FINETUNEJOBS, finetunejob({**STALLED, "observedGeneration": 0}, pod={"labels": QUEUE}))
    world.api.put(JOBS, merged(merged(job(), OWNED), {"metadata": {"labels": QUEUE}}))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    world.api.failures["delete jobs"] = refused
    await world.see()

    for _ in range(5):
        await world.reconcile()

    assert world.status()["observedGeneration"] == 1
    assert world.status()["message"].count(f"the Job yelp cannot be deleted ({NO})") == 1
    assert asked(world) == ["delete jobs"]


@pytest.mark.parametrize("queue", [{}, QUEUE], ids=["suspended", "deleted"])
async def test_what_keeps_a_stalled_attempt_from_being_ended_is_said_once_however_long_it_does(
    world: World,
    queue: dict[str, str],
) -> None:
    world.api.put(FINETUNEJOBS, finetunejob(STALLED, pod={"labels": queue}))
    world.api.put(JOBS, merged(merged(job(), OWNED), {"metadata": {"labels": queue}}))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    world.api.failures |= {"merge jobs": POLICIES[0], "delete jobs": POLICIES[0]}
    await world.see()
    messages = []

    for _ in range(4):
        await world.reconcile()
        messages.append(world.status()["message"])
        world.time += 61
    world.api.failures.clear()
    world.time += 600
    await world.reconcile()

    what = f"the Job yelp cannot be {'deleted' if queue else 'changed'} ({NO})"
    assert messages == [f"{what}; no step since noon"] * 4
    assert world.status()["message"] == "no step since noon"


@pytest.mark.parametrize("refused", POLICIES)
async def test_the_use_of_a_job_that_is_being_deleted_and_whose_run_may_not_be_ended_counts(
    world: World,
    refused: Any,
) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    await world.see()
    await world.reconcile()
    world.api.failures["delete jobs"] = refused
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    leaving = {"deletionTimestamp": "2026-11-20T12:00:00Z", "finalizers": ["theirs.example.com/keep"]}
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": leaving}))
    world.api.put(PODS, merged(pod(state=terminated(0)), OWNED_POD))
    await world.see()
    world.time += 60

    await world.reconcile()

    assert f"the Job yelp cannot be deleted ({NO})" in world.status()["message"]
    assert world.status()["attempts"][0]["exitCode"] == 0


async def test_a_former_run_that_may_not_be_ended_is_named(world: World) -> None:
    status = {"run": {"number": 2, "token": "again"}, "phase": "Pending"}
    world.api.put(FINETUNEJOBS, finetunejob({**settled(), **status}, runToken="again"))
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.failures["delete jobs"] = POLICIES[0]
    await world.see()

    await world.reconcile()

    assert f"the Job yelp cannot be deleted ({NO})" in world.status()["message"]


@pytest.mark.parametrize("failure", [None, {"reason": "ProgressStalled", "message": "gave up"}])
async def test_after_the_end_nothing_is_asked_for_again_and_again(
    world: World,
    failure: dict[str, Any] | None,
) -> None:
    ended = {**settled(), "phase": "Failed", "failure": failure, "observedGeneration": 0}
    world.api.put(FINETUNEJOBS, finetunejob(ended, runPolicy={"ttlSecondsAfterFinished": 60}))
    end = None if failure else ("Failed", "BackoffLimitExceeded", "")
    world.api.put(JOBS, merged(job(end=end), OWNED))
    world.api.failures |= {"merge jobs": POLICIES[1], "delete jobs": POLICIES[1]}
    await world.see()

    waits = [await world.reconcile() for _ in range(3)]

    assert (len(asked(world)), world.status()["observedGeneration"]) == (1, 1)
    assert all(wait is not None and wait <= 600 for wait in waits[1:])


def no_right(verb: str) -> Any:
    return refusal(
        403, f'jobs.batch "yelp" is forbidden: User "system:serviceaccount:fto:ft" cannot {verb} resource "jobs"'
    )


@pytest.mark.parametrize("verb", ["merge", "delete"])
async def test_what_a_right_is_lacking_for_is_done_within_half_a_minute_once_it_is_given(
    world: World, verb: str
) -> None:
    queue = QUEUE if verb == "delete" else {}
    world.api.put(FINETUNEJOBS, finetunejob(STALLED, pod={"labels": queue}))
    world.api.put(JOBS, merged(merged(job(), OWNED), {"metadata": {"labels": queue}}))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    world.api.failures[f"{verb} jobs"] = no_right(verb)
    await world.see()
    for _ in range(240):
        await world.reconcile()
        world.time += 15
    within_an_hour = len(asked(world))

    world.api.failures.clear()
    world.time += 16
    await world.reconcile()

    assert 120 <= within_an_hour <= 240
    assert len(asked(world)) == within_an_hour + 1
    assert world.status()["message"] == "no step since noon"
