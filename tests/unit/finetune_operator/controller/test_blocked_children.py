"""Where a child cannot be made, or no pod comes: what is asked, how often, and what the status says."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import ABOUT_THE_JOB, KEY, OWNED, OWNED_POD, QUOTA, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.samples import (
    finetunejob,
    job,
    member,
    merged,
    pod,
    reason_of,
    running,
    terminated,
)

from finetune_operator.job.finetunejob import Key
from finetune_operator.kube.client import (
    FINETUNEJOBS,
    JOBS,
    PODS,
    PVCS,
)


async def test_what_the_api_server_finds_invalid_ends_the_job_with_its_words(world: World) -> None:
    world.api.failures["create jobs"] = refusal(422, 'Job.batch "yelp" is invalid: spec.template')
    await world.see()

    await world.reconcile()

    await world.see()
    await world.reconcile()

    assert (world.status()["phase"], world.status()["failure"]["reason"]) == ("Failed", "SpecRefused")
    assert world.status()["message"].startswith('Job.batch "yelp" is invalid: spec.template; nothing was saved')
    # What was made before the Job is owned by the FineTuneJob; its claim, which is not, has gone.
    assert [name for plural, name in world.api.objects if plural == PVCS.plural] == []


async def test_what_is_forbidden_for_now_is_tried_again(world: World) -> None:
    world.api.failures["create jobs"] = refusal(403, "exceeded quota: count/jobs.batch=0")
    await world.see()

    again = await world.reconcile()

    assert world.status()["phase"] == "Pending"
    assert world.status()["message"] == "exceeded quota: count/jobs.batch=0"
    assert again is not None
    assert 15 <= again <= 30


async def test_a_blocked_job_costs_no_request_until_it_is_tried_again_and_then_one(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    await world.see()

    first = await world.reconcile()
    before = list(world.api.requests)
    world.time += 30
    second = await world.reconcile()

    assert (before, world.api.requests) == ([], ["create jobs"])
    assert first is not None
    assert second is not None
    assert 15 <= first <= 30 <= second <= 60


async def test_another_spec_of_a_blocked_job_is_tried_at_once(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    world.edit(suspend=True)
    await world.see()

    await world.reconcile()

    assert world.api.requests[0] == "create jobs"


async def test_a_job_that_is_refused_as_it_begins_says_so_at_once(world: World) -> None:
    world.api.put(FINETUNEJOBS, finetunejob({}))
    world.api.failures["create jobs"] = QUOTA
    await world.see()

    await world.reconcile()

    assert (reason_of(world.status()), world.status()["message"]) == (
        "CreateForbidden",
        "exceeded quota: count/jobs.batch=0",
    )


async def test_a_name_that_is_taken_is_looked_up_and_nothing_else(world: World) -> None:
    world.api.put(JOBS, job())
    await world.see()
    await world.reconcile()
    await world.see()
    world.time += 30

    await world.reconcile()

    assert world.api.requests == ["create jobs", "get jobs"]


async def test_what_was_made_long_before_its_job_is_looked_up_once_the_job_is_there(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    del world.api.objects[PVCS.plural, "yelp-0f9be1d4"]
    world.api.failures.clear()
    world.time += 30
    await world.reconcile()
    await world.see()

    await world.reconcile()
    first = list(world.api.requests)
    await world.reconcile()

    assert [each for each in first if "events" not in each and "finetunejobs" not in each] == [
        *("get jobs", "get persistentvolumeclaims"),
        "create persistentvolumeclaims",
    ]
    assert world.api.requests == first


async def test_a_job_that_is_made_after_all_lets_the_next_of_its_namespace_try(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    for name in ("other", "third"):
        world.api.put(FINETUNEJOBS, finetunejob(name=name))
        world.blocked.wait(Key("team-a", name))
    world.api.failures.clear()

    world.finetunejobs.retry(KEY)
    await world.reconcile()
    await world.see()
    await world.reconcile()

    assert world.woken == [Key("team-a", "other")]


async def test_a_job_that_went_away_leaves_the_line_of_the_blocked(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    world.finetunejobs.forget(KEY)

    again = await world.reconcile()
    world.blocked.wake("team-a")

    assert (again, world.woken) == (None, [])


async def test_a_job_whose_events_the_operator_may_not_read_has_a_status_without_them(world: World) -> None:
    world.api.put(JOBS, merged(job(start=-3600), OWNED))
    world.api.failures["list events"] = refusal(403, 'events is forbidden: cannot list resource "events"')
    await world.see()

    await world.reconcile()

    assert "list events" in world.api.requests
    assert (world.status()["phase"], world.status()["message"]) == ("Pending", "waiting for a pod")


@pytest.mark.slow
async def test_why_no_pod_comes_is_asked_ever_more_seldom(world: World) -> None:
    world.api.put(JOBS, merged(job(start=-3600), OWNED))
    warning = {"reason": "FailedCreate", "message": "exceeded quota: small", "lastTimestamp": "2026-11-20T12:00:00Z"}
    world.api.objects["events", "w"] = {"metadata": {"name": "w"}, **ABOUT_THE_JOB, **warning}
    await world.see()
    for _ in range(3600):
        world.time += 1
        await world.reconcile()

    assert world.api.requests.count("list events") <= 14
    assert "exceeded quota: small" in world.status()["message"]


async def test_a_job_that_the_operator_may_not_make_is_not_made_and_the_status_explains_why(world: World) -> None:
    message = 'jobs.batch "yelp" is forbidden: cannot create resource "jobs"'
    world.api.failures["create jobs"] = refusal(403, message)
    await world.see()

    again = await world.reconcile()

    assert (world.status()["phase"], reason_of(world.status())) == ("Pending", "CreateForbidden")
    assert world.status()["message"] == message
    assert again is not None
    assert 15 <= again <= 30
    assert world.api.requests[-3:] == ["create jobs", "replace status of finetunejobs", "create events"]


@pytest.mark.parametrize(
    ("second", "asked_about", "told"),
    [
        ([], "job-uid", "1 of 2 pods run; the pod cannot be created: no room"),
        ([member(1)], "pod-1-1", "1 of 2 pods run; pod 1: the pod cannot be created: no room"),
    ],
)
async def test_a_warning_explains_why_one_of_many_pods_does_not_run(
    world: World, second: list[dict[str, Any]], asked_about: str, told: str
) -> None:
    world.edit(resources={"nodes": 2})
    world.api.put(JOBS, merged(job(start=-3600), OWNED))
    for each in (member(0, state=running()), *second):
        world.api.put(PODS, merged(each, OWNED_POD))
    involved = {"involvedObject": {"kind": "Job" if asked_about == "job-uid" else "Pod", "uid": asked_about}}
    warning = {"reason": "FailedCreate", "message": "no room", "lastTimestamp": "2026-11-20T12:00:10Z"}
    world.api.objects["events", "w"] = {"metadata": {"name": "w"}, **involved, **warning}
    await world.see()

    await world.reconcile()

    assert world.status()["message"] == told
    assert world.api.selectors[-1] == {"fieldSelector": "type=Warning"}


@pytest.mark.parametrize(
    ("when", "then"),
    [("2026-11-20T12:01:30Z", "the pod cannot be created: no room"), ("2026-11-20T12:01:29Z", "a new one comes")],
)
async def test_a_warning_explains_why_a_failed_pod_is_not_replaced(world: World, when: str, then: str) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=terminated(137, until=90)), OWNED_POD))
    warning = {"reason": "FailedCreate", "message": "no room", "lastTimestamp": when}
    world.api.objects["events", "w"] = {"metadata": {"name": "w"}, **ABOUT_THE_JOB, **warning}
    await world.see()

    await world.reconcile()

    assert world.status()["message"] == f"the attempt failed: the trainer was killed (SIGKILL); {then}"


async def test_a_warning_explains_why_no_pod_comes(world: World) -> None:
    world.api.put(JOBS, merged(job(start=-3600), OWNED))
    warning = {"reason": "FailedCreate", "message": "exceeded quota: small", "lastTimestamp": "2026-11-20T12:00:00Z"}
    world.api.objects["events", "w"] = {"metadata": {"name": "w"}, **ABOUT_THE_JOB, **warning}
    await world.see()

    await world.reconcile()

    assert reason_of(world.status()) == "FailedCreate"
    assert "exceeded quota: small" in world.status()["message"]
