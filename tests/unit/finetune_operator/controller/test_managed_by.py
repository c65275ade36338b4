"""A job that another controller runs is left alone, wholly."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, World
from tests.unit.finetune_operator.samples import finetunejob, job, merged, settled

from finetune_operator.kube.client import FINETUNEJOBS, JOBS

ANOTHER = "kueue.x-k8s.io/multikueue"


@pytest.mark.parametrize(
    "spec",
    [{}, {"suspend": True}, {"task": "of-a-newer-api"}],
    ids=["runs", "suspended", "spec that this operator cannot read"],
)
async def test_another_controllers_job_gets_no_children_no_status_and_no_request(
    world: World,
    spec: dict[str, Any],
) -> None:
    world.api.put(FINETUNEJOBS, finetunejob(managedBy=ANOTHER, **spec))
    await world.see()

    again = await world.reconcile()

    assert (world.api.requests, again) == ([], None)


async def test_the_status_that_another_controller_writes_stays_with_a_job_of_our_kind_beside_it(world: World) -> None:
    written = {"phase": "Running", "message": "on the cluster east", **settled()}
    world.api.put(FINETUNEJOBS, finetunejob(written, managedBy=ANOTHER))
    world.api.put(JOBS, merged(job(end=("Failed", "BackoffLimitExceeded", "")), OWNED))
    await world.see()

    await world.reconcile()

    assert (world.api.requests, world.status()) == ([], written)


async def test_the_operators_own_name_is_as_good_as_none(world: World) -> None:
    world.api.put(FINETUNEJOBS, finetunejob(settled(), managedBy="finetune.dev/finetunejob-controller"))
    await world.see()

    await world.reconcile()

    assert (JOBS.plural, "yelp") in world.api.objects
