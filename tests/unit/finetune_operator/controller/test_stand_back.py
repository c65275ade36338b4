"""Two installations that serve one namespace do not fight over its statuses: one has the Job, and the other stands back."""

import asyncio
import random
from copy import deepcopy
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.test_notices import at_work
from tests.unit.finetune_operator.controller.world import KEY, World, make_world
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.samples import PROOF_KEY, UID, finetunejob, merged, pod, running, settled, terminated

from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.controller.contest import MOST, Contest
from finetune_operator.job.names import AUTHORITY
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.kube.client import CONFIG_MAPS, FINETUNEJOBS, JOBS, PODS

PASSES = 240
"""Passes of each, half a minute apart: two hours."""


KEYS = (b"the first one's", b"the second one's")


def two_installations(api: FakeApi) -> tuple[World, World]:
    worlds = make_world(api, KEYS[0], "one/keys"), make_world(api, KEYS[1], "two/keys")
    for world, key in zip(worlds, KEYS, strict=True):
        world.ca = key.decode()
    return worlds


async def live_on(worlds: tuple[World, World], passes: int = PASSES) -> list[int]:
    """Both go on for a while, in any order. Return how many statuses each has written."""
    chance, written = random.Random(3), [0, 0]
    for _ in range(passes):
        for place in chance.sample((0, 1), 2):
            world = worlds[place]
            world.time += 30
            await world.see()
            await world.reconcile()
            written[place] += world.api.requests.count("replace status of finetunejobs")
    return written


async def begun(passes: int) -> tuple[FakeApi, tuple[World, World]]:
    """The API and the two, after so many passes of a job whose Job one of them has made, and which has a pod."""
    api = FakeApi()
    api.put(FINETUNEJOBS, finetunejob())
    worlds = two_installations(api)
    await live_on(worlds, passes=4)
    start_pod(api, running())
    await live_on(worlds, passes)
    return api, worlds


def end_job(api: FakeApi) -> None:
    """The Job succeeds."""
    start_pod(api, terminated(0))
    ended = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-20T12:01:40Z"}]}
    api.put(JOBS, merged(api.objects[JOBS.plural, "yelp"], {"status": ended}))


def take_away_job(api: FakeApi) -> None:
    """The Job is deleted, and its pod with it."""
    del api.objects[JOBS.plural, "yelp"], api.objects[PODS.plural, "yelp-1"]


def start_pod(api: FakeApi, state: dict[str, Any]) -> None:
    """The Job that one of the two has made has a pod."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "yelp", "uid": "jobs-uid", "controller": True}
    metadata = {"labels": {LABEL_JOB_UID: UID}, "ownerReferences": [owner]}
    api.put(PODS, merged(pod(state=state), {"metadata": metadata}))


@pytest.mark.slow
async def test_a_job_that_begins_is_run_by_one_of_them_and_the_other_leaves_it_alone() -> None:
    api, worlds = await begun(passes=0)

    written = await live_on(worlds)

    authority = api.objects[CONFIG_MAPS.plural, AUTHORITY]["data"]["ca.crt"]
    job = api.objects[JOBS.plural, "yelp"]
    assert [OwnJobs(lambda key=key: [key], "").has_proof(job, UID) for key in KEYS] == [
        authority == each.decode() for each in KEYS
    ]
    assert max(written) <= 40
    assert min(written) <= 20
    assert worlds[0].status()["phase"] == "Preparing"
    reasons = {raw["reason"] for (plural, _), raw in api.objects.items() if plural == "events"}
    assert "StatusContested" in reasons


@pytest.mark.thorough
async def test_one_that_starts_later_does_not_take_over_the_job_that_runs_already() -> None:
    api = FakeApi()
    api.put(FINETUNEJOBS, finetunejob())
    worlds = two_installations(api)
    for _ in range(4):
        await worlds[0].see()
        await worlds[0].reconcile()
        start_pod(api, running())
    assert worlds[0].status()["phase"] == "Preparing"

    await live_on(worlds, passes=20)

    job = api.objects[JOBS.plural, "yelp"]
    assert [OwnJobs(lambda key=key: [key], "").has_proof(job, UID) for key in KEYS] == [True, False]


@pytest.mark.slow
async def test_who_looks_again_leaves_the_authority_to_the_one_that_has_the_job() -> None:
    api, worlds = await begun(passes=20)
    job = api.objects[JOBS.plural, "yelp"]
    (owner,) = (key.decode() for key in KEYS if OwnJobs(lambda: [key], "").has_proof(job, UID))  # noqa: B023

    seen = set()
    for _ in range(PASSES):
        await live_on(worlds, passes=1)
        seen.add(api.objects[CONFIG_MAPS.plural, AUTHORITY]["data"]["ca.crt"])

    assert seen == {owner}


@pytest.mark.thorough
async def test_how_the_run_of_the_other_ended_is_believed_and_nothing_is_run_again() -> None:
    api, worlds = await begun(passes=20)
    uid = api.objects[JOBS.plural, "yelp"]["metadata"]["uid"]
    end_job(api)
    await live_on(worlds, passes=60)
    take_away_job(api)

    written = await live_on(worlds, passes=60)

    assert worlds[0].status()["phase"] == "Succeeded"
    assert (JOBS.plural, "yelp") not in api.objects
    assert (written, uid) == ([0, 0], "jobs-uid")


@pytest.mark.thorough
async def test_a_run_of_the_other_whose_job_is_gone_before_anybody_looks_again_is_not_run_again() -> None:
    api, worlds = await begun(passes=20)
    end_job(api)
    await live_on(worlds, passes=1)
    take_away_job(api)

    await live_on(worlds, passes=60)

    assert worlds[0].status()["phase"] == "Succeeded"
    assert (JOBS.plural, "yelp") not in api.objects


async def test_an_end_that_somebody_else_writes_uses_up_nothing_of_the_namespaces_month() -> None:
    api = FakeApi()
    api.put(FINETUNEJOBS, finetunejob())
    api.failures["create jobs"] = refusal(403, "exceeded quota: gpus")
    world = make_world(api, KEYS[0])
    month: dict[str, Any] = {"month": "2026-11", "gpuSeconds": 10**9}
    ended = {"phase": "Failed", "completionTime": "2026-11-20T12:00:00Z"}
    forged = {**ended, "usage": {"until": "2026-11-20T12:00:00Z", "month": month}}

    for seconds in range(MOST + 4):
        await world.see()
        await world.reconcile()
        raw = api.objects[FINETUNEJOBS.plural, "yelp"]
        month["gpuSeconds"] += seconds
        api.put(FINETUNEJOBS, {**raw, "status": {**raw.get("status", {}), **deepcopy(forged)}})
        world.time += 1
    entry = world.finetunejobs.get(KEY)

    assert entry is not None
    assert entry.raw["status"]["phase"] == "Failed"
    assert world.used == []


async def test_of_an_end_that_is_gone_by_the_one_who_wrote_it_tells() -> None:
    api = FakeApi()
    target = {"name": "ci", "webhook": {"url": "https://ci.corp.example", "signingSecretKey": "key"}}
    api.put(FINETUNEJOBS, merged(finetunejob(), {"spec": {"notify": [target]}}))
    api.failures["create jobs"] = refusal(403, "exceeded quota: gpus")
    world = make_world(api, KEYS[0])
    ended = {"phase": "Failed", "completionTime": "2026-11-20T12:00:00Z", "notifications": [{"target": "ci"}]}

    for number in range(MOST + 4):
        await world.see()
        await world.reconcile()
        raw = api.objects[FINETUNEJOBS.plural, "yelp"]
        forged = {**raw.get("status", {}), **ended, "message": f"the end, version {number}"}
        api.put(FINETUNEJOBS, {**raw, "status": forged})
        world.time += 1
    async with at_work(world.notices):
        world.time += 1200
        await world.see()
        await world.reconcile()
        for _ in range(20):
            await asyncio.sleep(0)

    assert world.told == []
    assert [each.get("attempts", 0) for each in world.status()["notifications"]] == [0]


async def test_an_end_that_another_wrote_stands_also_where_it_changes_while_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = make_world(FakeApi(), PROOF_KEY)
    world.api.put(FINETUNEJOBS, finetunejob({**settled(), "phase": "Pending"}))
    await world.see()
    with world.finetunejobs.writing_status(KEY) as wrote:
        wrote(world.api.objects[FINETUNEJOBS.plural, "yelp"])
    entry = world.finetunejobs.get(KEY)
    assert entry is not None
    entry.contest.rounds, entry.contest.times = 1, 3  # it has stood back, and that time is over

    def another_writes(**status: str) -> None:
        raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
        world.finetunejobs.update(world.api.put(FINETUNEJOBS, merged(raw, {"status": status})))

    another_writes(phase="Succeeded")
    get = world.api.get

    async def overtaken(kind: Any, *place: Any, **options: Any) -> Any:
        live = await get(kind, *place, **options)
        if kind is FINETUNEJOBS:
            monkeypatch.undo()
            another_writes(message="all are told")
        return live

    monkeypatch.setattr(world.api, "get", overtaken)
    world.api.requests.clear()
    for _ in range(3):
        await world.reconcile()

    assert [each for each in world.api.requests if each.startswith("create")] == []
    assert world.status()["phase"] == "Succeeded"


def test_what_somebody_writes_now_and_then_is_no_contest() -> None:
    contest = Contest()

    assert not any(contest.note(str(number), 100.0 * number) for number in range(20))


@pytest.mark.parametrize("again", [1, 2])
def test_after_a_round_once_is_too_often(again: int) -> None:
    contest = Contest()
    noted = [contest.note(str(number), float(number)) for number in range(MOST + 1)]
    contest.stand_back(3.0, lambda: 0.5)
    left = contest.left(3.0)

    assert noted == [False] * MOST + [True]
    assert 60 <= left <= 120
    assert [contest.note("next", 4.0 + left) for _ in range(again)] == [True] * again
