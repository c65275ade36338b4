"""Where a pod fits, and what is said when it does not."""

from typing import Any

import pytest

from devcluster.node.scheduling import Placement, is_schedulable, place, pod_requests, quantities


def node(name: str = "one", *, gpu: str = "", pods: str = "10", disk: str = "hdd") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"disk": disk}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": pods, **({"nvidia.com/gpu": gpu} if gpu else {})},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(node_name: str | None = None, phase: str = "Pending", **requests: str) -> dict[str, Any]:
    names = {name.replace("gpu", "nvidia.com/gpu"): amount for name, amount in requests.items()}
    spec: dict[str, Any] = {"containers": [{"name": "main", "resources": {"limits": names}}]}
    if node_name:
        spec["nodeName"] = node_name
    return {"metadata": {"name": "a", "namespace": "x", "uid": "u"}, "spec": spec, "status": {"phase": phase}}


def test_a_pod_takes_the_sum_of_its_containers_or_its_hungriest_init_container() -> None:
    spec = {
        "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
            {"name": "b", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "250m"}}},
        ],
        "initContainers": [{"name": "i", "resources": {"requests": {"memory": "3Gi", "cpu": "100m"}}}],
    }

    requests = pod_requests({"spec": spec})

    assert requests == quantities({"cpu": "750m", "memory": "3Gi", "pods": "1"})


def test_a_pod_goes_where_there_is_room_for_it() -> None:
    nodes = [node("full", gpu="1"), node("free", gpu="1")]

    placement = place(pod(gpu="1"), nodes, [pod("full", "Running", gpu="1")], {})

    assert placement == Placement("free")


def test_a_node_that_nothing_is_known_of_gets_no_pod_and_stops_no_other() -> None:
    nodes = [{"metadata": {"name": "bare"}}, node("free")]

    assert place(pod(), nodes, [], {}) == Placement("free")
    assert place(pod(), nodes[:1], [], {}) == Placement(None, "0/1 nodes are available: 1 node(s) were unschedulable.")


def test_a_finished_pod_gives_its_room_back() -> None:
    placement = place(pod(gpu="1"), [node(gpu="1")], [pod("one", "Succeeded", gpu="1")], {})

    assert placement == Placement("one")


@pytest.mark.parametrize(
    ("waiting", "nodes", "others", "message"),
    [
        pytest.param(pod(), [], [], "no nodes available to schedule pods", id="no node"),
        pytest.param(
            pod(gpu="1"),
            [node()],
            [],
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
            id="a resource the node does not have",
        ),
        pytest.param(
            pod(cpu="3", memory="6Gi"),
            [node()],
            [pod("one", "Running", cpu="2", memory="4Gi")],
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
            id="taken by another pod",
        ),
        pytest.param(
            pod(gpu="2"),
            [node("a", gpu="1"), node("b", gpu="1")],
            [],
            "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
            id="spread over two nodes",
        ),
        pytest.param(
            pod(),
            [node(pods="1")],
            [pod("one", "Running")],
            "0/1 nodes are available: 1 Too many pods.",
            id="number of pods",
        ),
        pytest.param(
            {**pod(), "spec": {**pod()["spec"], "nodeSelector": {"disk": "ssd"}}},
            [node(disk="hdd")],
            [],
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            id="node selector",
        ),
    ],
)
def test_a_pod_that_fits_nowhere_is_told_why(
    waiting: dict[str, Any], nodes: list[dict[str, Any]], others: list[dict[str, Any]], message: str
) -> None:
    assert place(waiting, nodes, others, {}) == Placement(None, message)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, Placement(None, '0/1 nodes are available: persistentvolumeclaim "out" not found.')),
        (
            {"out": {"status": {"phase": "Pending"}}},
            Placement(None, "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
        ),
        ({"out": {"status": {"phase": "Bound"}}}, Placement("one")),
    ],
)
def test_a_pod_waits_for_its_claims(claims: dict[str, Any], expected: Placement) -> None:
    waiting = pod()
    waiting["spec"]["volumes"] = [{"name": "o", "persistentVolumeClaim": {"claimName": "out"}}]

    assert place(waiting, [node()], [], claims) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"nodeName": "one"}},
        {"spec": {"schedulerName": "mine"}},
        {"spec": {"schedulingGates": [{"name": "later"}]}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"status": {"phase": "Failed"}},
    ],
)
def test_a_pod_that_needs_no_node_from_us_is_left_alone(change: dict[str, Any]) -> None:
    waiting = pod()
    assert is_schedulable(waiting)

    changed = {part: {**waiting[part], **change.get(part, {})} for part in waiting}

    assert not is_schedulable(changed)


def test_a_node_that_somebody_made_without_spec_and_status_is_left_out() -> None:
    bare = {"metadata": {"name": "bare"}}

    assert place(pod(), [bare, node()], [], {}) == Placement("one")
