"""A node without a kubelet: the test writes what that would, and what the control plane makes of its silence."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.fixtures import finetunejob, reason_of
from tests.integration.space import Space

from devcluster.testing.api import wait_for

SELECTOR = "involvedObject.kind=FineTuneJob,involvedObject.name=lost"


@pytest.fixture
def away(space: Space) -> Iterator[str]:
    """A node that nobody runs, with a label of its name."""
    name = f"away-{uuid.uuid4().hex[:8]}"
    space.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"test": name}}})
    room = {"cpu": "2", "memory": "4Gi", "pods": "10"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now()}
    _write_status(space, "node", name, {"capacity": room, "allocatable": room, "conditions": [ready]})
    yield name
    space.kubectl("delete", "node", name, "--ignore-not-found")


def test_a_job_on_a_node_that_is_not_heard_of_names_it_and_goes_on_elsewhere(space: Space, away: str) -> None:
    space.apply(finetunejob("lost", pod={"nodeSelector": {"test": away}}))
    bound = wait_for(lambda: space.list("pods", "finetune.dev/job-name=lost"), _are_bound, "its pod on the node")
    name = bound[0]["metadata"]["name"]
    container = {"name": "trainer", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
    running = [{**container, "state": {"running": {"startedAt": _now()}}}]
    _write_status(
        space, "pod", name, {"phase": "Running", "conditions": [_ready("True")], "containerStatuses": running}
    )
    space.until("lost", lambda status: status["phase"] == "Preparing", "a pod that runs")

    _write_status(space, "pod", name, {"conditions": [_ready("False")]})
    silent = space.until("lost", lambda status: reason_of(status) == "NodeLost", "the node's name")
    space.kubectl("delete", "pod", name, "--wait=false")
    given_up = space.until("lost", lambda status: "has given the pod up" in status["message"], "what to do")
    reasons = {each["reason"] for each in _events(space)}
    space.kubectl("delete", "node", away)
    gone = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "node no longer exists",
    }
    _write_status(space, "pod", name, {"phase": "Failed", "conditions": [gone]})
    after = space.until("lost", lambda status: reason_of(status) != "NodeLost", "a new pod")
    space.kubectl("delete", "ftj", "lost", "--wait=false")

    assert silent["phase"] == given_up["phase"] == "Pending"
    assert silent["message"].startswith(f"node {away} has not answered since ")
    assert silent["attempts"][0]["reason"] == "NodeLost"
    assert f"kubectl taint node {away} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in given_up["message"]
    assert "NodeLost" in reasons
    assert (after["attempts"][0]["reason"], "endTime" in after["attempts"][0]) == ("NodeLost", True)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ready(status: str) -> dict[str, Any]:
    return {"type": "Ready", "status": status, "lastTransitionTime": _now()}


def _are_bound(pods: list[dict[str, Any]]) -> bool:
    return bool(pods) and all(pod["spec"].get("nodeName") for pod in pods)


def _write_status(space: Space, kind: str, name: str, status: dict[str, Any]) -> None:
    """As a kubelet, or the node lifecycle controller, does: by a strategic merge patch."""
    space.kubectl("patch", kind, name, "--subresource=status", "--type=strategic", "-p", json.dumps({"status": status}))


def _events(space: Space) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        space.kubectl("get", "events", f"--field-selector={SELECTOR}", "-o", "json")
    )["items"]
    return found
