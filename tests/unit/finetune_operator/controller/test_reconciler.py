"""A pass asks for what is missing, writes what differs, and nothing else."""

import asyncio
import json
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import (
    KEY,
    OWNED,
    OWNED_POD,
    World,
    running_job,
)
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.samples import (
    START,
    UID,
    finetunejob,
    job,
    merged,
    pod,
    received,
    terminated,
)

from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.job.finetunejob import Key
from finetune_operator.kube.client import (
    FINETUNEJOBS,
    JOBS,
    PODS,
)
from finetune_operator.traces.passes import Pass, under_way


async def test_the_first_pass_makes_each_child_once_and_the_next_pass_costs_nothing(world: World) -> None:
    await world.see()
    await world.reconcile()
    first = list(world.api.requests)
    await world.see()
    await world.reconcile()

    assert first == [
        *("get configmaps", "create configmaps", "get networkpolicies", "create networkpolicies"),  # the namespace's
        "create persistentvolumeclaims",
        "create jobs",
        "replace status of finetunejobs",
    ]
    assert world.api.requests == []
    assert (world.status()["phase"], world.status()["message"]) == ("Pending", "waiting for a pod")


async def test_a_job_that_begins_is_written_about_once_before_its_children_and_again_when_there_is_news(
    world: World,
) -> None:
    world.api.put(FINETUNEJOBS, finetunejob({}))
    await world.see()
    wait = await world.reconcile()
    begun = list(world.api.requests)
    first = world.status()
    world.api.put(JOBS, merged(world.api.objects[JOBS.plural, "yelp"], job()))
    await world.see()
    world.time += 29
    await world.reconcile()
    writes_of_the_start = world.api.requests.count("replace status of finetunejobs")
    world.api.put(PODS, merged(pod(), OWNED_POD))
    await world.see()
    world.time += 40
    await world.reconcile()

    assert begun[:4] == ["get namespaces", "get finetuneprofiles", "replace status of finetunejobs", "get configmaps"]
    assert begun[-1] == "create jobs"
    assert (first["phase"], first["message"], first["profile"]["name"]) == ("Pending", "waiting for a pod", "default")
    assert wait is not None
    assert (writes_of_the_start, world.api.requests.count("replace status of finetunejobs")) == (0, 1)
    assert (world.status()["startTime"], world.status()["attempts"][0]["node"]) == (job()["status"]["startTime"], "n1")


async def test_a_restart_writes_nothing_of_a_job_that_has_begun_and_has_no_pod_yet(world: World) -> None:
    await world.see()
    await world.reconcile()
    world.api.put(JOBS, merged(world.api.objects[JOBS.plural, "yelp"], job()))
    await world.see()
    world.finetunejobs.begin_anew()

    for _ in range(10):
        await world.reconcile()
        world.time += 60

    assert world.api.requests.count("replace status of finetunejobs") == 0


@pytest.mark.thorough
async def test_what_is_new_after_a_restart_is_written_in_turn_as_ever(world: World) -> None:
    keys = [Key("team-a", f"job-{number}") for number in range(20)]
    for key in keys:
        world.api.put(FINETUNEJOBS, merged(finetunejob({}, name=key.name), {"metadata": {"uid": f"uid-of-{key.name}"}}))
    await world.see()
    await asyncio.gather(*(world.reconciler.reconcile(key) for key in keys))
    for key in keys:
        uid = world.api.objects[JOBS.plural, key.name]["metadata"]["uid"]
        owners = [{**OWNED_POD["metadata"]["ownerReferences"][0], "name": key.name, "uid": uid}]
        metadata = {"labels": {LABEL_JOB_UID: f"uid-of-{key.name}"}, "ownerReferences": owners}
        world.api.put(PODS, merged(pod(node=None), {"metadata": {**metadata, "name": key.name, "uid": key.name}}))
    await world.see()
    world.finetunejobs.begin_anew()

    await asyncio.gather(*(world.reconciler.reconcile(key) for key in keys))
    world.time += 1
    at_once = world.api.requests.count("replace status of finetunejobs")
    await asyncio.gather(*(world.reconciler.reconcile(key) for key in keys))

    assert (at_once < 5, world.api.requests.count("replace status of finetunejobs")) == (True, 20)


async def test_a_pod_that_starts_in_time_costs_no_request(world: World) -> None:
    async with running_job(world):
        world.time += 600
        await world.reconcile()

    assert [each for each in world.api.requests if "finetunejobs" not in each and "events" not in each] == []


async def test_a_status_that_was_computed_from_an_old_object_is_not_written(world: World) -> None:
    await world.see()
    world.edit(suspend=True)

    again = await world.reconcile()
    await world.reconcile()
    world.time += 60
    await world.see()
    await world.reconcile()

    assert again == pytest.approx(0.1)
    assert world.status()["observedGeneration"] == 2
    assert world.status()["phase"] == "Suspended"


async def test_a_job_that_a_write_finds_gone_is_forgotten_with_all_that_was_remembered(world: World) -> None:
    await world.see()
    world.finetunejobs.take_report(received({"report": {"sequence": 1, "stage": "Training"}}))
    world.api.failures["replace status of finetunejobs"] = refusal(404, "not found")

    again = await world.reconcile()

    assert (world.finetunejobs.get(KEY), world.finetunejobs.all_keys(), again) == (None, [], 0.1)


async def test_numbers_wait_for_their_turn_and_a_new_phase_does_not(world: World) -> None:
    async with running_job(world):
        for sequence in (1, 2):
            report = {"sequence": sequence, "stage": "Training", "progress": {"step": sequence, "percent": 1}}
            world.finetunejobs.take_report(received({"report": report}))
            again = await world.reconcile()

    assert world.status()["phase"] == "Running"
    assert world.status()["progress"]["step"] == 1
    assert again is not None
    assert 0 < again <= 60


@pytest.mark.thorough
async def test_a_pod_that_reports_another_stage_each_second_costs_a_write_an_interval_and_one_event(
    world: World,
) -> None:
    async with running_job(world):
        world.api.requests.clear()
        for second in range(600):
            world.time += 1
            stage = ("Training", "Preparing", "Evaluating")[second % 3]
            warnings = [{"reason": "Odd", "message": f"number {second}"}]
            report = {"sequence": second + 1, "stage": stage, "warnings": warnings, "resumedFromStep": second}
            world.finetunejobs.take_report(received({"report": report}))
            await world.reconcile()

    assert world.api.requests.count("replace status of finetunejobs") <= 600 / 60 + 2
    assert world.api.requests.count("create events") == 1
    assert world.status()["phase"] == "Running"


async def test_a_status_that_the_api_server_refuses_is_written_without_what_the_pod_reported(world: World) -> None:
    """Such as by the CRD of an older release, which does not know what a newer trainer reports."""
    replace_status = world.api.replace_status

    async def refuse_metrics(kind: Any, manifest: dict[str, Any], **options: Any) -> dict[str, Any]:
        if manifest["status"].get("metrics"):
            raise refusal(422, "status.metrics: Too many")
        return await replace_status(kind, manifest, **options)

    word = json.dumps({"exitCode": 0, "metrics": [{"name": "loss", "value": "1"}]})
    world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
    world.api.put(PODS, merged(pod(state=terminated(0, "Completed", word)), OWNED_POD))
    await world.see()
    world.api.replace_status = refuse_metrics  # type: ignore[method-assign]

    again = [await world.reconcile(), await world.reconcile()]

    assert again[0] == 0
    assert world.status()["phase"] == "Succeeded"
    assert [each["reason"] for each in world.status()["warnings"]] == ["ReportNotUnderstood"]


async def test_a_pass_tells_its_trace_which_status_it_wrote(world: World) -> None:
    await world.see()
    this = Pass(START)
    with under_way(this):
        await world.reconcile()
        await world.reconcile()

    (written,) = this.statuses
    assert (written.uid, written.namespace, written.name, written.created) == (UID, "team-a", "yelp", START)
    assert (written.before.phase, written.after.phase) == (None, "Pending")
