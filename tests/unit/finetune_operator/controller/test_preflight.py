"""What is made when there is a preflight in a pod of its own."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.preflights import ENDED, FAILED, NAME, PASSED, POD_POLICY, checking_job, folders
from tests.unit.finetune_operator.samples import (
    finetunejob,
    job,
    merged,
    pod,
    run_file_of,
    running,
    stamp,
    terminated,
)

from finetune_operator.kube.client import CONFIG_MAPS, FINETUNEJOBS, JOBS, PODS, PVCS


def checking_pod(number: int = 1, **others: Any) -> dict[str, Any]:
    owners = [{"apiVersion": "batch/v1", "kind": "Job", "name": NAME, "uid": "preflight-uid", "controller": True}]
    metadata = {"name": f"{NAME}-{number}", "uid": f"check-{number}", "ownerReferences": owners}
    return merged(pod(number, **others), {"metadata": {"labels": OWNED_POD["metadata"]["labels"], **metadata}})


@pytest.fixture
def asked(world: World) -> World:
    world.edit(**POD_POLICY)
    return world


async def test_nothing_but_the_preflight_is_made_at_first_and_the_next_pass_costs_nothing(asked: World) -> None:
    await asked.see()
    await asked.reconcile()
    first = list(asked.api.requests)
    await asked.see()
    await asked.reconcile()

    assert first == [
        "get jobs",
        "get jobs",
        *("get configmaps", "create configmaps", "get networkpolicies", "create networkpolicies"),  # the namespace's
        "create jobs",
        "replace status of finetunejobs",
    ]
    assert {name for plural, name in asked.api.objects if plural == JOBS.plural} == {NAME}
    assert '"gpus": 1' in run_file_of(asked.api.objects[JOBS.plural, NAME])
    assert asked.api.requests == []


async def test_a_preflight_that_has_passed_lets_the_training_be_made(asked: World) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    asked.api.put(PODS, checking_pod(state=terminated(0, "Completed", PASSED)))
    await asked.see()

    await asked.reconcile()

    assert [each for each in asked.api.requests if "networkpolicies" not in each] == [
        *("get configmaps", "create configmaps"),  # the namespace's
        *("create persistentvolumeclaims", "create jobs"),
        "replace status of finetunejobs",
    ]
    assert (JOBS.plural, "yelp") in asked.api.objects
    assert (asked.status()["phase"], asked.status()["message"]) == ("Pending", "waiting for a pod")
    assert asked.status()["preflight"]["trainRows"] == 1000


async def test_a_preflight_that_has_failed_ends_the_job_and_no_training_is_ever_made(asked: World) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Failed"]))
    asked.api.put(PODS, checking_pod(state=terminated(11, message=FAILED)))
    await asked.see()

    await asked.reconcile()
    await asked.see()
    await asked.reconcile()

    assert (asked.status()["phase"], asked.status()["failure"]["reason"]) == ("Failed", "ColumnNotFound")
    assert (JOBS.plural, "yelp") not in asked.api.objects
    assert (PVCS.plural, "yelp-0f9be1d4") not in asked.api.objects


async def test_the_end_of_a_preflight_that_the_caches_do_not_know_is_read_from_its_pod(asked: World) -> None:
    await asked.see()
    asked.api.put(JOBS, checking_job(end=ENDED["Failed"]))
    asked.api.put(PODS, checking_pod(state=terminated(11, message=FAILED)))

    await asked.reconcile()

    assert asked.status()["failure"]["reason"] == "ColumnNotFound"


async def test_a_preflight_goes_on_though_the_policy_changes(asked: World) -> None:
    await asked.see()
    await asked.reconcile()
    asked.edit(runPolicy={"preflight": "inline"})
    await asked.see()

    await asked.reconcile()

    assert (JOBS.plural, "yelp") not in asked.api.objects


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Pending", "startTime": stamp(1)},
        {"phase": "Running", "attempts": [{"number": 1, "pod": "yelp-1", "endTime": stamp(9)}]},
    ],
)
async def test_no_preflight_comes_once_a_training_was_started(world: World, status: dict[str, Any]) -> None:
    world.api.put(FINETUNEJOBS, finetunejob(status, **POD_POLICY))
    await world.see()

    await world.reconcile()

    assert {name for plural, name in world.api.objects if plural == JOBS.plural} == {"yelp"}


async def test_a_preflight_that_somebody_deletes_before_it_has_passed_is_made_again(asked: World) -> None:
    deleted = checking_job()
    deleted["metadata"]["deletionTimestamp"] = stamp(20)
    asked.api.put(JOBS, deleted)
    await asked.see()
    await asked.reconcile()
    waiting = asked.status()["message"]
    del asked.api.objects[JOBS.plural, NAME]
    await asked.see()

    await asked.reconcile()

    assert waiting == "the Job is being deleted; a new one comes"
    assert "create jobs" in asked.api.requests
    assert (JOBS.plural, NAME) in asked.api.objects


async def test_a_job_of_somebody_else_with_the_preflights_name_is_not_taken_over(asked: World) -> None:
    asked.api.put(JOBS, merged(job(), {"metadata": {"name": NAME}}))
    await asked.see()

    await asked.reconcile()

    assert asked.status()["message"].startswith(f"the Job {NAME} is there and was not made for this FineTuneJob")
    assert "create jobs" not in asked.api.requests


async def test_a_suspension_reaches_the_preflight(asked: World) -> None:
    await asked.see()
    await asked.reconcile()
    asked.edit(suspend=True)
    await asked.see()

    await asked.reconcile()

    assert asked.api.objects[JOBS.plural, NAME]["spec"]["suspend"] is True


async def test_a_training_that_is_refused_for_now_is_tried_again_after_its_preflight(asked: World) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    asked.api.failures["create persistentvolumeclaims"] = refusal(403, "exceeded quota: storage")
    await asked.see()

    again = await asked.reconcile()

    assert (asked.status()["phase"], asked.status()["message"]) == ("Pending", "exceeded quota: storage")
    assert again is not None
    assert 15 <= again <= 30


async def test_a_training_that_was_refused_after_its_preflight_costs_one_request_and_is_made_when_there_is_room(
    asked: World,
) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    asked.api.failures["create jobs"] = refusal(403, "exceeded quota: jobs")
    await asked.see()
    await asked.reconcile()
    await asked.see()
    asked.time += 30
    await asked.reconcile()
    refused = [each for each in asked.api.requests if "jobs" in each]
    asked.api.failures.clear()
    asked.time += 60

    await asked.reconcile()

    assert refused == ["create jobs"]
    assert (JOBS.plural, "yelp") in asked.api.objects


async def test_the_output_is_mounted_where_its_claim_is_bound(asked: World) -> None:
    asked.edit(output={"uri": "pvc://models/a"})
    asked.api.put(PVCS, {"metadata": {"name": "models"}, "status": {"phase": "Bound"}})
    await asked.see()

    await asked.reconcile()

    assert folders(asked.api.objects[JOBS.plural, NAME]) == {"models": True}


async def test_both_jobs_get_their_time_to_live_at_the_end(world: World) -> None:
    status = {"phase": "Succeeded", "observedGeneration": 1}
    policy = {"preflight": "pod", "ttlSecondsAfterFinished": 60}
    world.api.put(FINETUNEJOBS, finetunejob(status, runPolicy=policy))
    world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
    world.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    await world.see()

    await world.reconcile()

    assert {
        name: raw["spec"].get("ttlSecondsAfterFinished")
        for (plural, name), raw in world.api.objects.items()
        if plural == JOBS.plural
    } == {"yelp": 60, NAME: 60}


async def test_the_pod_of_a_preflight_is_no_attempt(asked: World) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    asked.api.put(PODS, checking_pod(state=terminated(0, "Completed", PASSED)))
    asked.api.put(JOBS, merged(job(), OWNED))
    asked.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    asked.api.put(CONFIG_MAPS, {"metadata": {"name": "yelp-ca", **OWNED["metadata"]}, "data": {"ca.crt": "PEM"}})
    await asked.see()

    await asked.reconcile()

    assert [each["pod"] for each in asked.status()["attempts"]] == ["yelp-1"]
    assert asked.status()["preflight"]["trainRows"] == 1000
