"""The card of a job: for every reason and in every phase it says what happened, what to do, and what proves it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.finetune.api_server import PODS, FakeApi, status

from finetune.api import Api
from finetune.async_client import AsyncClient
from finetune.errors import NotKnown
from finetune.explanation import Explanation, explain
from finetune.snapshot import read_snapshot
from finetune.summary import SHAPES
from finetune_api.base import JsonObject
from finetune_api.reasons import Reason

pytestmark = pytest.mark.usefixtures("kubeconfig")
TIME = "2026-11-28T10:00:00Z"
EVENTS = "/api/v1/namespaces/team-a/events"
OF_THE_CLUSTER = "NodeOnFire"
"""A reason that some component gives, and that is not ours."""


def ready(reason: str) -> dict[str, Any]:
    return {"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": TIME}


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with AsyncClient() as made:
        yield made


async def explained(client: AsyncClient, api_server: FakeApi, reason: str, **status: Any) -> Explanation:
    api_server.job("job", conditions=[ready(reason)], **status)
    return await (await client.get("job")).explain()


class NothingElse(Api):
    """A cluster without pods and Events, which is asked hundreds of times."""

    async def list(self, path: str, query: dict[str, str]) -> tuple[list[JsonObject], str]:
        return [], "1"


@pytest.mark.parametrize("phase", SHAPES)
async def test_no_reason_is_without_words_and_proof(kubeconfig: Path, api_server: FakeApi, phase: str) -> None:
    for reason in (*Reason, OF_THE_CLUSTER):
        failure = {"failure": {"reason": reason, "message": ""}} if phase == "Failed" else {}
        raw = api_server.job("job", phase=phase, conditions=[ready(reason)], **failure)

        card = await explain(NothingElse(str(kubeconfig)), read_snapshot(raw))

        assert (card.reason, bool(card.message), bool(card.remedy)) == (reason, True, True)
        fine = phase == "Succeeded" or (phase == "Running" and reason != Reason.NOT_MOVING)
        assert card.proof == ("" if fine else f"condition Ready is False since {TIME}: {reason}")


async def test_what_stands_still_is_proved_by_the_condition_that_says_so(
    client: AsyncClient, api_server: FakeApi
) -> None:
    condition = ready(Reason.NOT_MOVING) | {"message": "no step for 900 seconds"}
    api_server.job("job", phase="Running", message="step 3; no step for 900 seconds", conditions=[condition])

    card = await (await client.get("job")).explain()

    assert card.proof == f"condition Ready is False since {TIME}: NotMoving: no step for 900 seconds"
    assert card.remedy == Reason.NOT_MOVING.remedy


@pytest.mark.parametrize(
    ("phase", "remedy"),
    [("Suspended", "Let it go on with `finetune resume`."), ("Queued", "Nothing: it begins when its turn comes.")],
)
async def test_where_the_reason_needs_nothing_the_phase_says_what_is_next(
    client: AsyncClient, api_server: FakeApi, phase: str, remedy: str
) -> None:
    card = await explained(client, api_server, OF_THE_CLUSTER, phase=phase, message="as the operator says it")

    assert (card.message, card.remedy) == ("as the operator says it", remedy)


@pytest.mark.parametrize("pods_are_listed", [True, False])
async def test_that_a_pod_had_no_node_proves_nothing_once_it_has_one(
    client: AsyncClient, api_server: FakeApi, pods_are_listed: bool
) -> None:
    attempt = {"number": 1, "pod": "pod", "node": "node-1"}
    api_server.job("job", phase="Preparing", message="loading", conditions=[ready("Preparing")], attempts=[attempt])
    api_server.pod("pod", "Running", {"running": {}})
    api_server.pods["pod"]["spec"] = {"nodeName": "node-1"}
    if not pods_are_listed:
        api_server.answers["GET", PODS] = lambda _: status(403, "Forbidden", "no")
    events = [
        {"reason": reason, "message": "…", "lastTimestamp": TIME, "involvedObject": {"kind": "Pod", "name": "pod"}}
        for reason in ("FailedScheduling", "Unhealthy")
    ]
    job = await client.get("job")

    api_server.answers["GET", EVENTS] = lambda _: (200, {"items": events[:1]})
    before = (await job.explain()).proof
    api_server.answers["GET", EVENTS] = lambda _: (200, {"items": events})
    after = (await job.explain()).proof

    assert before == f"condition Ready is False since {TIME}: Preparing"
    assert after == f"Event of {TIME}: Pod pod: Unhealthy: …"


@pytest.mark.parametrize(
    ("phase", "reason", "status"),
    [
        ("Suspended", "Suspended", {}),
        ("Preparing", "Preparing", {}),
        ("Pending", "WaitingForPod", {"run": {"number": 3, "beginTime": TIME}}),
    ],
)
async def test_what_a_job_waited_for_before_proves_nothing_of_what_it_does_now(
    client: AsyncClient, api_server: FakeApi, phase: str, reason: str, status: dict[str, Any]
) -> None:
    holds = {"type": "Reconciling", "status": "True", "reason": reason, "lastTransitionTime": TIME}
    api_server.job("job", phase=phase, message="…", conditions=[ready(reason), holds], **status)
    about = {"kind": "FineTuneJob", "name": "job"}
    times = ("2026-11-28T09:59:59Z", TIME)
    before, now = (
        {"reason": "Unschedulable", "message": time, "lastTimestamp": time, "involvedObject": about} for time in times
    )
    job = await client.get("job")

    api_server.answers["GET", EVENTS] = lambda _: (200, {"items": [before]})
    without = (await job.explain()).proof
    api_server.answers["GET", EVENTS] = lambda _: (200, {"items": [before, now]})
    with_one = (await job.explain()).proof

    assert without == f"condition Ready is False since {TIME}: {reason}"
    assert with_one == f"Event of {TIME}: FineTuneJob job: Unschedulable: {TIME}"


@pytest.mark.parametrize("path", [PODS, EVENTS])
async def test_a_login_that_has_expired_is_told_and_taken_for_no_right_that_is_missing(
    client: AsyncClient, api_server: FakeApi, path: str
) -> None:
    api_server.job("job", phase="Preparing", message="loading", conditions=[ready("Preparing")])
    api_server.answers["GET", EVENTS] = lambda _: (200, {"items": []})
    api_server.answers["GET", path] = lambda _: status(401, "Unauthorized", "expired")
    job = await client.get("job")

    with pytest.raises(NotKnown, match="log in to it again"):
        await job.explain()


@pytest.mark.parametrize(
    ("path", "proof"),
    [
        (PODS, f"condition Ready is False since {TIME}: Preparing"),
        (EVENTS, "Events of the namespace cannot be read now: the API server cannot answer now (500): no etcd"),
    ],
)
async def test_where_events_cannot_be_read_now_the_card_is_there_all_the_same(
    client: AsyncClient, api_server: FakeApi, path: str, proof: str
) -> None:
    api_server.job("job", phase="Preparing", message="loading", conditions=[ready("Preparing")])
    api_server.answers["GET", path] = lambda _: status(500, "InternalError", "no etcd")

    card = await (await client.get("job")).explain()

    assert (card.message, card.proof) == ("loading", proof)


async def test_nothing_is_said_to_follow_by_itself_on_a_job_that_has_failed(
    client: AsyncClient, api_server: FakeApi
) -> None:
    failure = {"reason": "Stopped", "message": "the pod was stopped from outside"}

    failed = await explained(client, api_server, "Stopped", phase="Failed", failure=failure)
    goes_on = await explained(client, api_server, "NodeShutdown", phase="Pending")

    assert failed.remedy == "Read the message and the log (`finetune logs`); `finetune rerun` tries it again."
    assert goes_on.remedy == "Nothing: a new attempt resumes."
