"""Of a job that has not changed, an operator that was restarted writes nothing."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.samples import at, job, merged, pod, received, running, terminated

from finetune_operator.kube.client import JOBS, PODS
from finetune_operator.kube.server_time import ServerTime

REPORT = {
    "report": {
        "sequence": 7,
        "stage": "Training",
        "progress": {"step": 10, "totalSteps": 100, "epoch": "0.3", "percent": 10, "etaSeconds": 90},
        "metrics": [{"name": "loss", "value": "1.5"}],
    }
}
UNSCHEDULED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
    "lastTransitionTime": "2026-11-20T12:00:10Z",
}
NO_SECRET: dict[str, Any] = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "hub" not found'}}
SUCCEEDED = job(end=("Complete", "CompletionsReached", ""))
FAILED = job(end=("Failed", "BackoffLimitExceeded", "too often"))
STATES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "no pod yet": (job(), None),
    "a pod without a node": (job(), pod(node=None)),
    "no room on any node": (job(), pod(node=None, conditions=[UNSCHEDULED])),
    "its container is made": (job(), pod(state={"waiting": {"reason": "ContainerCreating"}})),
    "its Secret is not there": (job(), pod(state=NO_SECRET)),
    "runs": (job(), pod(state=running(), phase="Running")),
    "suspended by its queue": (job(suspend=True, start=None), None),
    "succeeded": (SUCCEEDED, pod(state=terminated(0, "Completed"), phase="Succeeded")),
    "failed": (FAILED, pod(state=terminated(1), phase="Failed")),
}


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock of the API server shows, in seconds after the creation of the job."""
    shown = [15.0]
    monkeypatch.setattr(ServerTime, "at", lambda self, ours: at(shown[0]))
    return shown


async def passes(world: World, seconds: list[float], count: int, step: float = 1.0) -> int:
    """So many passes, with so long in between. Return how many statuses they wrote."""
    world.api.requests.clear()
    for _ in range(count):
        await world.reconcile()
        world.time += step
        seconds[0] += step
    return world.api.requests.count("replace status of finetunejobs")


@pytest.mark.parametrize("reports", [False, True], ids=["silent", "reported"])
@pytest.mark.parametrize("state", STATES)
async def test_a_restart_writes_nothing_of_a_job_that_has_not_changed(
    world: World,
    seconds: list[float],
    state: str,
    reports: bool,
) -> None:
    its_job, its_pod = STATES[state]
    world.api.put(JOBS, merged(its_job, OWNED))
    if its_pod is not None:
        world.api.put(PODS, merged(its_pod, OWNED_POD))
    await world.see()
    if reports:
        world.finetunejobs.take_report(received(REPORT, seconds=14))
    first = await passes(world, seconds, 12, step=10)
    settled = await passes(world, seconds, 3)
    await world.see()
    world.finetunejobs.begin_anew()

    after = await passes(world, seconds, 12)

    assert (first > 0, settled, after) == (True, 0, 0)
