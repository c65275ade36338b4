"""Masses of objects that bear one job's label and owner cost little, and nobody else."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.samples import UID, finetunejob, job, merged, pod, settled, terminated

from finetune_operator.controller.blocked import BlockedJobs
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.watches import Watches
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.found import Question
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS
from finetune_operator.kube.workqueue import WorkQueue


async def nothing(_: Key) -> None:
    """A pass that does nothing."""


def watches(handle: Callable[[Key], Awaitable[None]] = nothing, clock: Callable[[], float] = time.monotonic) -> Watches:
    """The watches of an operator that knows the job."""
    finetunejobs = FineTuneJobs(lambda _: None)
    finetunejobs.update(merged(finetunejob(), {"metadata": {"resourceVersion": "1"}}))

    return Watches(
        FakeApi(),
        namespaces=(),
        serves=lambda _: True,
        resync_seconds=60,
        finetunejobs=finetunejobs,
        blocked=BlockedJobs(finetunejobs.retry),
        queue=WorkQueue(handle, delay_of=lambda _: None),
        on_default=lambda: None,
        clock=clock,
    )


def version(raw: dict[str, Any], number: int, **metadata: Any) -> dict[str, Any]:
    return merged(raw, {"metadata": {"resourceVersion": str(number), **metadata}})


async def test_a_job_that_changes_again_and_again_has_no_pods_looked_at_again_and_another_in_its_place_has() -> None:
    seen, looked = watches(), list[str]()
    reconsider = seen.pods.reconsider
    seen.pods.reconsider = lambda value: (looked.append(value), reconsider(value))[1]  # type: ignore[method-assign,func-returns-value]
    of_another = merged(OWNED_POD, {"metadata": {"ownerReferences": [{**_owner(), "uid": "another"}]}})
    seen.jobs.take({"type": "ADDED", "object": version(merged(job(), OWNED), 1)})
    for number in range(50):
        raw = merged(pod(number), of_another)
        seen.pods.take({"type": "ADDED", "object": version(raw, 10 + number)})

    for number in range(2, 100):
        changed = merged(merged(job(), OWNED), {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": f"q{number}"}}})
        seen.jobs.take({"type": "MODIFIED", "object": version(changed, number)})
    of_changes, before = [*looked], len(seen.pods.labelled(UID))
    seen.jobs.take({"type": "DELETED", "object": version(merged(job(), OWNED), 100)})
    seen.jobs.take({"type": "ADDED", "object": version(merged(job(), OWNED), 101, uid="another")})

    assert of_changes == [UID]
    assert (before, len(seen.pods.labelled(UID))) == (0, 50)


def _owner() -> dict[str, Any]:
    (owner,) = OWNED_POD["metadata"]["ownerReferences"]
    return dict(owner)


@pytest.mark.thorough
@pytest.mark.parametrize("number", [3000])
async def test_of_pods_that_are_listed_a_bounded_number_is_looked_at(world: World, number: int) -> None:
    world.api.put(FINETUNEJOBS, finetunejob({**settled(), "phase": "Running"}))
    world.api.put(JOBS, merged(job(end=("Failed", "BackoffLimitExceeded", "")), OWNED))
    ended = merged(pod(state=terminated(11)), {"status": {"phase": "Failed"}})
    world.api.put(PODS, merged(ended, OWNED_POD))
    for each in range(2, number):
        world.api.put(PODS, merged(pod(each, node=None), OWNED_POD))
    await world.see_finetunejobs()
    world.jobs.take({"type": "ADDED", "object": world.api.objects[JOBS.plural, "yelp"]})
    entry = world.finetunejobs.get(Key("team-a", "yelp"))
    assert entry is not None
    observer = world.reconciler._observer
    parsed = world.reconciler._profiles.read_finetunejob(entry.packed)

    found = await observer._lookup.ask_server(Question.PODS, parsed, observer._lookup.cached(parsed), made=False)
    observed = observer._stages.read_stages(parsed, found, entry, None)

    assert len(observed.pods) <= 750
    assert "yelp-1" in {each.name for each in observed.pods}
