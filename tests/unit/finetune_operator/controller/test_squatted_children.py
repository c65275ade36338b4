"""Somebody has made an object under the name of a child before the operator did."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import World
from tests.unit.finetune_operator.samples import (
    OWNERS,
    UID,
    finetunejob,
    merged,
    reason_of,
    settled,
)

from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.kube.client import (
    FINETUNEJOBS,
    JOBS,
    NETWORK_POLICIES,
    PVCS,
    SERVICES,
)

SQUATTED: dict[str, tuple[Any, dict[str, Any]]] = {
    "Job": (JOBS, {"metadata": {"name": "yelp"}, "spec": {"template": {"spec": {"containers": []}}}}),
    "NetworkPolicy": (NETWORK_POLICIES, {"metadata": {"name": "yelp"}, "spec": {"podSelector": {}, "ingress": [{}]}}),
    "Service": (SERVICES, {"metadata": {"name": "ft-yelp"}, "spec": {"selector": {"app": "stranger"}}}),
    "PersistentVolumeClaim": (
        PVCS,
        {
            "metadata": {"name": f"yelp-{UID[:8]}"},
            "spec": {"dataSource": {"kind": "VolumeSnapshot", "name": "planted"}},
        },
    ),
}


async def meet_squatter(world: World, kind: str) -> tuple[Any, str]:
    """A pass for a job under one of whose children's names there is an object with a perfect owner. Return its kind and name."""
    plural, squatted = SQUATTED[kind]
    forged = {"labels": {LABEL_JOB_UID: UID}, "ownerReferences": OWNERS}
    world.api.put(
        FINETUNEJOBS, finetunejob(settled(), resources={"nodes": 1 if "Claim" in kind else 2}, **_output(kind))
    )
    world.api.put(plural, merged(squatted, {"metadata": {"namespace": "team-a", "uid": "squatted", **forged}}))
    await world.see()
    await world.reconcile()
    return plural, squatted["metadata"]["name"]


@pytest.mark.parametrize("kind", ["NetworkPolicy", "Service"])
async def test_what_somebody_made_in_our_name_that_holds_nothing_of_anybody_s_gives_way_to_ours(
    world: World, kind: str
) -> None:
    plural, name = await meet_squatter(world, kind)

    live, planted = world.api.objects[plural.plural, name], SQUATTED[kind][1]
    assert live["metadata"]["uid"] != "squatted"
    assert {field: live.get(field) for field in planted if field != "metadata"} != {
        field: value for field, value in planted.items() if field != "metadata"
    }
    assert (JOBS.plural, "yelp") in world.api.objects


@pytest.mark.parametrize("kind", ["Job", "PersistentVolumeClaim"])
async def test_a_job_or_claim_that_somebody_made_in_our_name_is_not_taken_for_ours_and_not_touched(
    world: World, kind: str
) -> None:
    plural, name = await meet_squatter(world, kind)
    squatted = SQUATTED[kind][1]

    status, requests = world.status(), world.api.requests
    assert status["phase"] == "Pending"
    assert reason_of(status) in ("NameConflict", "ConfigChanged")
    assert kind in status["message"]
    assert "delete" in status["message"]
    assert not {f"{verb} {plural.plural}" for verb in ("merge", "apply", "replace", "delete")} & set(requests)
    live = world.api.objects[plural.plural, name]
    assert {name: live.get(name) for name in squatted if name != "metadata"} == {
        name: value for name, value in squatted.items() if name != "metadata"
    }


def _output(kind: str) -> dict[str, Any]:
    return {} if "Claim" in kind else {"output": {"uri": "s3://bucket/yelp"}}
