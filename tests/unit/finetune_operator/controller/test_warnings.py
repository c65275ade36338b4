"""Which Warnings of Kubernetes explain a wait, and which are of the past."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.samples import job, line, merged, pod, stamp

from finetune_api.values import format_time
from finetune_operator.job.warnings import Subject
from finetune_operator.kube import server_time
from finetune_operator.kube.client import CONFIG_MAPS, JOBS, PODS, PVCS
from finetune_operator.kube.events import parse_warning

UNBOUND = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
}


def scheduled(seconds: float) -> list[dict[str, Any]]:
    return [{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(seconds)}]


async def seen(world: World, given: dict[str, Any], *warnings: dict[str, Any]) -> dict[str, Any]:
    """The status of a job with this pod, after these Warnings about what is asked for."""
    world.api.put(JOBS, merged(job(start=-3600), OWNED))
    world.api.put(PODS, merged(given, OWNED_POD))
    world.api.put(CONFIG_MAPS, {"metadata": {"name": "yelp-ca", **OWNED["metadata"]}, "data": {"ca.crt": "PEM"}})
    for number, warning in enumerate(warnings):
        about = {"involvedObject": {"kind": "Pod", "name": "yelp-1", "uid": "pod-1"}}
        event = {"metadata": {"name": f"w{number}"}, "type": "Warning", **about, **warning}
        world.api.objects["events", f"w{number}"] = event
    await world.see()
    await world.reconcile()
    return world.status()


def warning(reason: str, message: str, seconds: float, count: int = 1) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": stamp(seconds), "count": count}


async def test_what_the_scheduler_lacked_is_over_once_the_pod_has_a_node(world: World) -> None:
    stale = warning(
        "FailedScheduling", "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", 20
    )

    status = await seen(world, pod(conditions=scheduled(20)), stale)

    assert line(status) == ("Pending", "ContainerCreating", "starting the container")


@pytest.mark.parametrize(
    ("since", "told"), [(20, "starting the container"), (19, "a volume cannot be mounted: no Secret x")]
)
async def test_a_warning_from_before_the_pod_had_its_node_is_no_explanation(
    world: World,
    since: float,
    told: str,
) -> None:
    status = await seen(world, pod(conditions=scheduled(since)), warning("FailedMount", "no Secret x", 19))

    assert status["message"] == told


async def test_of_two_warnings_that_alternate_the_one_that_says_why_is_told(world: World) -> None:
    why = warning("FailedMount", 'MountVolume.SetUp failed for volume "keys": secret "s3" not found', 30)
    vague = warning("FailedMount", "Unable to attach or mount volumes: unmounted volumes=[keys]: timed out", 40)

    status = await seen(world, pod(conditions=scheduled(20)), why, vague)

    assert status["message"] == (
        'a volume cannot be mounted: MountVolume.SetUp failed for volume "keys": secret "s3" not found'
    )


async def test_a_storage_class_that_is_not_there_is_named_by_its_claims_warning(world: World) -> None:
    missing = warning("ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found', -7200)
    claim = {"involvedObject": {"kind": "PersistentVolumeClaim", "name": "yelp-0f9be1d4", "uid": "claim-uid"}}

    status = await seen(world, pod(node=None, conditions=[UNBOUND]), {**missing, **claim})

    assert line(status)[:2] == ("Pending", "ProvisioningFailed")
    assert status["message"].startswith(
        "no volume can be made: claim yelp-0f9be1d4 (output.storageClassName): "
        'storageclass.storage.k8s.io "fast" not found; '
    )


async def test_a_claim_without_a_volume_is_looked_at_again_though_the_scheduler_says_no_more(world: World) -> None:
    waiting = pod(node=None, conditions=[UNBOUND])
    waiting["metadata"]["creationTimestamp"] = format_time(server_time.now())
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(waiting, OWNED_POD))
    await world.see()

    # Too early for a question, and nothing that a watch shows makes another pass.
    again = await world.reconcile()

    assert "list events" not in world.api.requests
    assert line(world.status())[1:] == (
        "Unschedulable",
        "no node can take the pod: a claim of the pod has no volume yet",
    )
    assert again == 5


async def test_a_cluster_without_a_storage_class_is_known_by_the_claim(world: World) -> None:
    world.api.put(PVCS, {"metadata": {"name": "yelp-0f9be1d4"}, "spec": {}, "status": {"phase": "Pending"}})

    status = await seen(world, pod(node=None, conditions=[UNBOUND]))

    assert line(status)[:2] == ("Pending", "ProvisioningFailed")
    assert "it names no StorageClass, and the cluster has no default one" in status["message"]


async def test_a_claim_that_is_still_being_bound_is_waited_for(world: World) -> None:
    claim = {
        "metadata": {"name": "yelp-0f9be1d4"},
        "spec": {"storageClassName": "fast"},
        "status": {"phase": "Pending"},
    }
    world.api.put(PVCS, claim)

    status = await seen(world, pod(node=None, conditions=[UNBOUND]))

    assert line(status)[1:] == ("Unschedulable", "no node can take the pod: a claim of the pod has no volume yet")


async def test_the_tries_to_pull_an_image_are_counted_by_the_pulls_alone(world: World) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "trainer:1"'}}
    events = [
        warning("Failed", 'Failed to pull image "trainer:1": trainer:1: not found', 40, 3),
        warning("Failed", "Error: ErrImagePull", 41, 3),
        warning("Failed", "Error: ImagePullBackOff", 50, 9),
    ]

    status = await seen(world, pod(state=waiting, conditions=scheduled(11)), *events)

    assert status["message"] == (
        f"the image trainer:1 cannot be pulled, tried 3 times since {stamp(11)}: trainer:1: not found; "
        "check the operator's default image, or name one in pod.image"
    )


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"lastTimestamp": stamp(7), "count": 3}, (stamp(7), 3)),
        ({"eventTime": "2026-11-20T12:00:07.123456Z", "lastTimestamp": None}, (stamp(7), 1)),
        (
            {"eventTime": stamp(1), "series": {"count": 4, "lastObservedTime": "2026-11-20T12:00:07.5Z"}},
            (stamp(7), 4),
        ),
        ({"lastTimestamp": stamp(7), "count": "many"}, (stamp(7), 1)),
        ({}, None),
    ],
)
def test_both_forms_of_events_are_read(times: dict[str, Any], expected: tuple[str, int] | None) -> None:
    warned = parse_warning({"reason": "FailedScheduling", "message": "x", **times}, Subject("Pod", "yelp-1"))

    found = None if warned is None else (warned.seen.strftime("%Y-%m-%dT%H:%M:%SZ"), warned.times)

    assert found == expected


async def test_where_no_event_can_be_read_the_status_is_written_all_the_same(world: World) -> None:
    world.api.failures["list events"] = refusal(500, "etcdserver: no leader")

    status = await seen(world, pod(conditions=scheduled(0)))
    await world.reconcile()

    assert line(status) == ("Pending", "ContainerCreating", "starting the container")
    assert world.api.requests.count("list events") == 1


async def test_what_events_have_told_holds_while_none_can_be_read(world: World) -> None:
    told = await seen(world, pod(conditions=scheduled(0)), warning("FailedMount", "no Secret x", 19))
    world.api.failures["list events"] = refusal(500, "etcdserver: no leader")

    for _ in range(3):
        world.time += 700
        await world.reconcile()

    assert world.api.requests.count("list events") == 4
    assert line(world.status()) == line(told) == ("Pending", "FailedMount", "a volume cannot be mounted: no Secret x")
