"""A pod's status, from what its containers do."""

from datetime import UTC, datetime
from typing import Any

import pytest

from devcluster.node.container import restart_delay, starts_again
from devcluster.node.status import (
    ContainerRecord,
    PodFailure,
    pod_phase,
    pod_status,
    running,
    terminated,
    waiting,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
THEN = "2026-01-01T00:00:00Z"
WAITS, RUNS = waiting("ContainerCreating"), running(NOW)


def ended(code: int) -> dict[str, Any]:
    return terminated(code, NOW, NOW, container_id="devcluster://1")


def record(state: dict[str, Any], name: str = "main", **known: Any) -> ContainerRecord:
    return ContainerRecord({"name": name, "image": "i:1"}, state, **known)


@pytest.mark.parametrize(
    ("policy", "inits", "mains", "phase"),
    [
        ("Never", [], [WAITS], "Pending"),
        ("Never", [RUNS], [WAITS], "Pending"),
        ("Never", [ended(1)], [WAITS], "Failed"),
        ("OnFailure", [ended(1)], [WAITS], "Pending"),
        ("Never", [ended(0)], [RUNS], "Running"),
        ("Never", [], [RUNS, WAITS], "Pending"),
        ("Never", [], [RUNS, ended(1)], "Running"),
        ("Never", [], [ended(0), ended(0)], "Succeeded"),
        ("Never", [], [ended(0), ended(3)], "Failed"),
        ("OnFailure", [], [ended(3)], "Running"),
        ("OnFailure", [], [ended(0)], "Succeeded"),
        ("Always", [], [ended(0)], "Running"),
    ],
)
def test_the_phase_follows_the_containers(
    policy: str, inits: list[dict[str, Any]], mains: list[dict[str, Any]], phase: str
) -> None:
    found = pod_phase(policy, [record(state) for state in inits], [record(state) for state in mains], is_over=False)

    assert found == phase


@pytest.mark.parametrize(("codes", "phase"), [([0, 0], "Succeeded"), ([0, 143], "Failed")])
def test_a_stopped_pod_ends_even_if_it_would_always_restart(codes: list[int], phase: str) -> None:
    assert pod_phase("Always", [], [record(ended(code)) for code in codes], is_over=True) == phase


def test_a_container_in_back_off_keeps_the_pod_running() -> None:
    crashed = record(waiting("CrashLoopBackOff"), last_state=ended(1))

    assert pod_phase("Always", [], [crashed], is_over=False) == "Running"


def test_a_failed_pod_is_reported_as_the_kubelet_tells_it() -> None:
    pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main"}]}}
    state = terminated(3, NOW, NOW, container_id="devcluster://1", message="no such column")
    previous = [{"type": "Initialized", "status": "True", "lastTransitionTime": THEN}]

    status = pod_status(
        pod,
        [],
        [record(state, container_id="devcluster://1")],
        start_time=THEN,
        now=NOW,
        previous=previous,
        is_over=True,
    )

    changed = {"reason": None, "message": None, "lastProbeTime": None, "lastTransitionTime": "2026-01-02T03:04:05Z"}
    assert status == {
        "phase": "Failed",
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "startTime": THEN,
        "conditions": [
            {**changed, "type": "PodReadyToStartContainers", "status": "False"},
            {**changed, "type": "Initialized", "status": "True", "lastTransitionTime": THEN},
            {**changed, "type": "Ready", "status": "False", "reason": "PodFailed"},
            {**changed, "type": "ContainersReady", "status": "False", "reason": "PodFailed"},
            {**changed, "type": "PodScheduled", "status": "True"},
        ],
        "containerStatuses": [
            {
                "name": "main",
                "image": "i:1",
                "imageID": "i:1",
                "containerID": "devcluster://1",
                "ready": False,
                "started": False,
                "restartCount": 0,
                "state": {
                    "terminated": {
                        "exitCode": 3,
                        "reason": "Error",
                        "message": "no such column",
                        "startedAt": "2026-01-02T03:04:05Z",
                        "finishedAt": "2026-01-02T03:04:05Z",
                        "containerID": "devcluster://1",
                    }
                },
                "lastState": {},
            }
        ],
    }


def test_a_pod_past_its_deadline_says_so() -> None:
    pod = {"spec": {"containers": [{"name": "main"}]}}
    failure = PodFailure("DeadlineExceeded", "too long")

    status = pod_status(
        pod, [], [record(ended(0))], start_time=THEN, now=NOW, previous=[], is_over=True, failure=failure
    )

    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "DeadlineExceeded", "too long")


@pytest.mark.parametrize(
    ("policy", "code", "is_init", "expected"),
    [
        ("Never", 1, False, False),
        ("OnFailure", 1, False, True),
        ("OnFailure", 0, False, False),
        ("Always", 0, False, True),
        ("Always", 0, True, False),
        ("Always", 1, True, True),
    ],
)
def test_a_container_starts_again_as_the_policy_says(policy: str, code: int, is_init: bool, expected: bool) -> None:
    assert starts_again(policy, code, is_init=is_init) is expected


def test_restarts_are_at_once_first_and_then_further_and_further_apart() -> None:
    assert [restart_delay(10, restarts) for restarts in (0, 1, 2, 3, 99)] == [0, 10, 20, 40, 300]
