"""A job that failed and saved nothing does not keep the claim that the operator made for it."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.test_reconciler import OWNED, OWNED_POD, World, world  # noqa: F401 - a fixture
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

from finetune_operator.job.names import LABEL_JOB_UID
from finetune_operator.kube.client import EVENTS, FINETUNEJOBS, JOBS, PODS, PVCS

CLAIM = "yelp-0f9be1d4"
EMPTY = '{"exitCode": 11, "outputEmpty": true, "failure": {"reason": "ColumnNotFound", "message": "no column x"}}'
SAID = (
    f"no column x; nothing was saved, so the claim {CLAIM} made for the output is deleted (it goes with its last pod)"
)


def claim(**metadata: Any) -> dict[str, Any]:
    labels = {LABEL_JOB_UID: UID}
    return {"metadata": {"namespace": "team-a", "name": CLAIM, "uid": "claim-uid", "labels": labels, **metadata}}


async def fail(world: World, its_claim: dict[str, Any] | None) -> None:  # noqa: F811
    """A job fails whose only attempt found its volume empty."""
    world.api.put(FINETUNEJOBS, finetunejob({**settled(), "phase": "Preparing", "observedGeneration": 1}))
    world.api.put(JOBS, merged(job(end=("Failed", "PodFailurePolicy", "")), OWNED))
    world.api.put(PODS, merged(pod(state=terminated(11, message=EMPTY)), OWNED_POD))
    if its_claim is not None:
        world.api.put(PVCS, its_claim)
    await world.see()
    await world.reconcile()


async def test_its_claim_is_deleted_before_its_end_is_written_which_says_so(world: World) -> None:  # noqa: F811
    await fail(world, claim())

    assert world.api.requests[-4:] == ["get persistentvolumeclaims", "delete persistentvolumeclaims", *END]
    assert (PVCS.plural, CLAIM) not in world.api.objects
    assert line(world.status()) == ("Failed", "ColumnNotFound", SAID)
    assert world.status()["failure"]["message"] == "no column x"
    assert world.status()["run"] == {"number": 1}
    events = [raw for (plural, _), raw in world.api.objects.items() if plural == EVENTS.plural]
    assert [each["message"] for each in events] == [SAID]


END = ["replace status of finetunejobs", "create events"]


async def test_where_the_claim_is_gone_already_its_end_is_written_without_a_word_of_it(world: World) -> None:  # noqa: F811
    await fail(world, None)

    assert line(world.status()) == ("Failed", "ColumnNotFound", "no column x")
    assert world.status()["run"] == {"number": 1}


async def test_a_claim_of_that_name_that_another_made_is_not_touched(world: World) -> None:  # noqa: F811
    await fail(world, claim(labels={LABEL_JOB_UID: "another"}))

    assert (PVCS.plural, CLAIM) in world.api.objects
    assert line(world.status()) == ("Failed", "ColumnNotFound", "no column x")
    assert world.status()["run"] == {"number": 1, "output": f"pvc://{CLAIM}"}


@pytest.mark.parametrize("verb", ["get", "delete"])
@pytest.mark.parametrize("status", [400, 403, 422], ids=["webhook", "rights", "policy"])
async def test_where_the_operator_may_not_delete_the_claim_the_job_ends_all_the_same(
    world: World,  # noqa: F811
    verb: str,
    status: int,
) -> None:
    world.api.failures[f"{verb} persistentvolumeclaims"] = refusal(status, "no")

    await fail(world, claim())

    assert line(world.status()) == ("Failed", "ColumnNotFound", "no column x")
    assert world.status()["run"] == {"number": 1, "output": f"pvc://{CLAIM}"}


async def test_a_run_that_follows_waits_until_the_claim_has_gone_and_makes_another(world: World) -> None:  # noqa: F811
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
