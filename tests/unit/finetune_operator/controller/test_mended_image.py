"""A job that waits for an image that a setting of the operator named takes the mended one."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.samples import finetunejob, job, merged, pod, running, settled, terminated

from finetune_operator.job.names import preflight_job_name
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS

WRONG = "trainer:wrong"
PULLS = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "trainer:wrong"'}}
BAD_NAME = {"waiting": {"reason": "InvalidImageName", "message": "x"}}
PREFLIGHT = preflight_job_name("yelp")


async def deleted(
    world: World, *pods: dict[str, Any], image: str = WRONG, name: str = "yelp", status: Any = None, **spec: Any
) -> bool:
    """Whether the Job of this image goes, whose pods these are, when the operator's default is trainer:1."""
    template = {
        "template": {"spec": {"containers": [{"name": "sidecar", "image": "s"}, {"name": "trainer", "image": image}]}}
    }
    world.api.put(FINETUNEJOBS, finetunejob(status or settled(), **spec))
    world.api.put(JOBS, merged(job(name=name), {**OWNED, "spec": template}))
    for each in pods:
        owner = {**OWNED_POD["metadata"]["ownerReferences"][0], "name": name}
        world.api.put(PODS, merged(each, {"metadata": {**OWNED_POD["metadata"], "ownerReferences": [owner]}}))
    await world.see()
    await world.reconcile()
    return "delete jobs" in world.api.requests


@pytest.mark.parametrize("state", [PULLS, BAD_NAME])
async def test_the_job_is_made_anew_with_the_image_that_the_operator_has_now(
    world: World, state: dict[str, Any]
) -> None:
    assert await deleted(world, pod(state=state))

    del world.api.objects[PODS.plural, "yelp-1"]
    await world.see()
    await world.reconcile()

    made = world.api.objects[JOBS.plural, "yelp"]["spec"]["template"]["spec"]["containers"][0]
    assert made["image"] == "trainer:1"


async def test_a_preflight_that_waits_for_the_wrong_image_is_made_anew_too(world: World) -> None:
    assert await deleted(world, pod(state=PULLS), name=PREFLIGHT, runPolicy={"preflight": "pod"})


@pytest.mark.parametrize(
    ("pods", "given"),
    [
        ([pod(state=PULLS)], {"image": "trainer:1"}),
        ([pod(state=PULLS)], {"pod": {"image": WRONG}}),
        ([pod()], {}),
        ([pod(state=running())], {}),
        ([pod(state=terminated(143)), pod(2, state=PULLS)], {}),
        (
            [pod(2, state=PULLS)],
            {
                "status": {
                    **settled(),
                    "attempts": [{"number": 1, "pod": "yelp-1", "startTime": "2026-11-20T12:00:00Z"}],
                }
            },
        ),
    ],
)
async def test_a_job_keeps_its_image_where_that_is_right_or_its_own_or_has_run(
    world: World,
    pods: list[dict[str, Any]],
    given: dict[str, Any],
) -> None:
    assert not await deleted(world, *pods, **given)
