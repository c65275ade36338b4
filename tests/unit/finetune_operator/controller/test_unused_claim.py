"""A job that failed and saved nothing does not keep the claim that the operator made for it."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import KEY, OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.samples import (
    LABELS,
    UID,
    finetunejob,
    job,
    line,
    merged,
    pod,
    settled,
    terminated,
)

from finetune_api.status import Notification
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS, PVCS

CLAIM = "yelp-0f9be1d4"
EMPTY = '{"exitCode": 11, "outputEmpty": true, "failure": {"reason": "ColumnNotFound", "message": "no column x"}}'
SAID = (
    f"no column x; nothing was saved, so the claim {CLAIM} made for the output is deleted (it goes with its last pod)"
)


def claim(**metadata: Any) -> dict[str, Any]:
    labels = {LABEL_JOB_UID: UID}
    return {"metadata": {"namespace": "team-a", "name": CLAIM, "uid": "claim-uid", "labels": labels, **metadata}}


async def fail(world: World, its_claim: dict[str, Any] | None, **spec: Any) -> None:
    """The end is written of a job whose only attempt found its volume empty."""
    before = {**settled(), "phase": "Preparing", "observedGeneration": 1}
    world.api.put(FINETUNEJOBS, finetunejob(before, runPolicy={"ttlSecondsAfterFinished": 60}, **spec))
    world.api.put(JOBS, merged(job(end=("Failed", "PodFailurePolicy", "")), OWNED))
    world.api.put(PODS, merged(pod(state=terminated(11, message=EMPTY)), OWNED_POD))
    if its_claim is not None:
        world.api.put(PVCS, its_claim)
    await world.see()
    await world.reconcile()
    assert line(world.status()) == ("Failed", "ColumnNotFound", "no column x")


async def go_on(world: World) -> None:
    """What is left to do for it."""
    await world.see()
    world.api.requests.clear()
    await world.reconcile()


async def test_its_claim_is_deleted_once_its_end_is_written_and_then_the_status_says_so(world: World) -> None:
    await fail(world, claim())
    before = (PVCS.plural, CLAIM) in world.api.objects

    await go_on(world)
    asked = [*world.api.requests]
    await go_on(world)

    assert before
    assert (PVCS.plural, CLAIM) not in world.api.objects
    assert line(world.status()) == ("Failed", "ColumnNotFound", SAID)
    assert world.status()["failure"]["message"] == "no column x"
    assert world.status()["run"] == {"number": 1}
    assert asked == ["list pods", "get persistentvolumeclaims", "delete persistentvolumeclaims", *HANDS_ON, *WRITES]
    assert world.api.requests == []


HANDS_ON = ["merge jobs"]
"""Its time to live."""
WRITES = ["replace status of finetunejobs"]


async def test_a_job_that_may_go_on_after_all_keeps_its_claim(world: World) -> None:
    limit = {"runPolicy": {"preRunningDeadlineSeconds": 60}}
    world.api.put(FINETUNEJOBS, finetunejob({**settled(), "phase": "Pending", "observedGeneration": 1}, **limit))
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(node=None), OWNED_POD))
    world.api.put(PVCS, claim())
    await world.see()
    # Its user raises the limit in the moment in which it is over.
    world.edit(runPolicy={"preRunningDeadlineSeconds": 10**8})

    await world.reconcile()
    await world.see()
    await world.reconcile()

    assert (world.status()["phase"], (PVCS.plural, CLAIM) in world.api.objects) == ("Pending", True)


async def test_a_pod_that_the_cache_has_not_seen_to_save_keeps_its_claim(world: World) -> None:
    await fail(world, claim())
    await world.see()
    world.api.put(PODS, merged(pod(state=terminated(1)), OWNED_POD))

    await world.reconcile()

    assert (PVCS.plural, CLAIM) in world.api.objects


async def test_where_the_claim_is_gone_already_the_status_says_that_there_is_no_output(world: World) -> None:
    await fail(world, None)

    await go_on(world)

    assert line(world.status()) == ("Failed", "ColumnNotFound", "no column x")
    assert world.status()["run"] == {"number": 1}


async def test_a_claim_of_that_name_that_another_made_is_not_touched(world: World) -> None:
    await fail(world, claim(labels={LABEL_JOB_UID: "another"}))

    await go_on(world)

    assert (PVCS.plural, CLAIM) in world.api.objects
    assert line(world.status()) == ("Failed", "ColumnNotFound", "no column x")
    assert world.status()["run"] == {"number": 1, "output": f"pvc://{CLAIM}"}


@pytest.mark.parametrize("verb", ["get", "delete"])
@pytest.mark.parametrize("status", [400, 403, 422], ids=["webhook", "rights", "policy"])
async def test_where_the_operator_may_not_delete_the_claim_the_job_has_ended_all_the_same(
    world: World,
    verb: str,
    status: int,
) -> None:
    world.api.failures[f"{verb} persistentvolumeclaims"] = refusal(status, "no")
    await fail(world, claim())

    await go_on(world)

    assert world.api.requests[-1:] == HANDS_ON
    assert line(world.status()) == ("Failed", "ColumnNotFound", "no column x")
    assert world.status()["run"] == {"number": 1, "output": f"pvc://{CLAIM}"}


async def test_a_run_that_follows_waits_until_the_claim_has_gone_and_makes_another(world: World) -> None:
    world.api.put(PVCS, claim(deletionTimestamp="2026-11-20T12:00:00Z"))
    world.api.put(FINETUNEJOBS, finetunejob(settled()))
    await world.see()
    await world.reconcile()
    waits = line(world.status())
    jobs = [name for plural, name in world.api.objects if plural == JOBS.plural]

    del world.api.objects[PVCS.plural, CLAIM]
    world.time += 60
    await world.reconcile()

    assert waits == (
        "Pending",
        "NameConflict",
        f"the PersistentVolumeClaim {CLAIM} is being deleted; waiting for it to go",
    )
    assert jobs == []
    assert world.api.objects[PVCS.plural, CLAIM]["metadata"]["labels"] == {**LABELS, "finetune.dev/run": "1"}
    assert (JOBS.plural, "yelp") in world.api.objects


async def test_who_was_told_of_the_end_is_written_however_long_the_claim_stays(world: World) -> None:
    await fail(world, claim(labels={}), notify=[{"name": "chat", "slack": {}}])
    entry = world.finetunejobs.get(KEY)
    assert entry is not None
    entry.tried["chat"] = Notification(target="chat", state="Delivered", attempts=1)

    await go_on(world)

    assert (PVCS.plural, CLAIM) in world.api.objects
    assert world.status()["notifications"] == [{"target": "chat", "state": "Delivered", "attempts": 1}]
