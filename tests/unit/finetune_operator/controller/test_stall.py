"""A run of stock transformers that stands still: its Job is suspended, or deleted, until its pod has ended, and another attempt comes."""

from typing import Any

from tests.unit.finetune_operator.controller.world import KEY, OWNED, OWNED_POD, World
from tests.unit.finetune_operator.samples import finetunejob, job, merged, pod, running, settled, stamp, terminated

from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS

QUEUE = {"kueue.x-k8s.io/queue-name": "team-a"}
STALLED: dict[str, Any] = {
    **settled(),
    "observedGeneration": 1,
    "phase": "Pending",
    "message": "no step since noon",
    "attempts": [{"number": 1, "pod": "yelp-1", "startTime": stamp(12), "reason": "ProgressStalled"}],
}


async def test_its_job_is_suspended_once_until_its_pod_has_ended_and_then_goes_on(world: World) -> None:
    world.api.put(FINETUNEJOBS, finetunejob(STALLED))
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    seen = []

    for ended in (False, False, True, True):
        if ended:
            world.api.put(PODS, merged(pod(state=terminated(143)), OWNED_POD))
        await world.see()
        await world.reconcile()
        patches = [each for each in world.api.requests if each == "merge jobs"]
        seen.append((len(patches), world.api.objects[JOBS.plural, "yelp"]["spec"]["suspend"], world.status()["phase"]))

    assert seen == [(1, True, "Pending"), (0, True, "Pending"), (1, False, "Pending"), (0, False, "Pending")]
    assert world.finetunejobs.get(KEY) is not None


async def test_in_a_queue_of_kueue_it_is_deleted_after_its_pods_and_made_anew(world: World) -> None:
    queued = merged(merged(job(), OWNED), {"metadata": {"labels": QUEUE}})
    world.api.put(FINETUNEJOBS, finetunejob(STALLED, pod={"labels": QUEUE}))
    world.api.put(JOBS, queued)
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    seen = []

    for ended in (False, False, True):
        if ended:
            del world.api.objects[PODS.plural, "yelp-1"], world.api.objects[JOBS.plural, "yelp"]
            world.time += 60
        await world.see()
        await world.reconcile()
        there = world.api.objects[JOBS.plural, "yelp"]["metadata"]
        seen.append(([*world.api.requests], "deletionTimestamp" in there, world.status()["phase"]))

    assert [each[1:] for each in seen] == [(True, "Pending"), (True, "Pending"), (False, "Pending")]
    assert [[each for each in requests if each.endswith(" jobs")] for requests, *_ in seen] == [
        ["delete jobs"],
        [],
        ["create jobs"],
    ]
    assert [(each["number"], each["reason"]) for each in world.status()["attempts"]] == [(1, "ProgressStalled")]


async def test_with_no_attempt_left_its_job_is_deleted_after_its_end_was_written(world: World) -> None:
    failure = {"reason": "ProgressStalled", "message": "gave up"}
    world.api.put(FINETUNEJOBS, finetunejob({**STALLED, "phase": "Failed", "failure": failure}))
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    await world.see()

    await world.reconcile()

    assert world.api.requests == ["delete jobs"]


async def test_a_job_that_somebody_s_finalizer_keeps_from_going_is_said_with_it(world: World) -> None:
    leaving = {"deletionTimestamp": stamp(12), "finalizers": ["foregroundDeletion", "example.com/keeps"]}
    world.api.put(FINETUNEJOBS, finetunejob({**settled(), "observedGeneration": 1, "phase": "Pending"}))
    world.api.put(JOBS, merged(merged(job(), OWNED), {"metadata": leaving}))
    await world.see()

    await world.reconcile()

    assert world.status()["message"] == (
        "the Job is being deleted, and kept until somebody takes away its finalizer example.com/keeps; a new one comes"
    )
