"""A node without a kubelet: the test writes what that would, and what the control plane makes of its silence."""

from collections.abc import Iterator

import pytest
from tests.integration.fixtures import finetunejob, reason_of
from tests.integration.played_node import PlayedNode, played_node, ready
from tests.integration.space import Space


@pytest.fixture
def away(space: Space) -> Iterator[PlayedNode]:
    with played_node(space) as made:
        yield made


@pytest.mark.slow
def test_a_job_on_a_node_that_is_not_heard_of_names_it_and_goes_on_elsewhere(space: Space, away: PlayedNode) -> None:
    space.apply(finetunejob("lost", pod={"nodeSelector": away.selector}))
    name = away.pod_of("lost")
    away.run(name)
    space.until("lost", lambda status: status["phase"] == "Preparing", "a pod that runs")

    away.write("pod", name, {"conditions": [ready("False")]})
    silent = space.until("lost", lambda status: reason_of(status) == "NodeLost", "the node's name")
    away.write("pod", name, {"conditions": [ready("True")]})
    back = space.until(
        "lost", lambda status: status["phase"] == "Preparing", "the node to be back, and the pod with it"
    )
    away.write("pod", name, {"conditions": [ready("False")]})
    space.until("lost", lambda status: reason_of(status) == "NodeLost", "the node's name again")
    space.kubectl("delete", "pod", name, "--wait=false")
    given_up = space.until("lost", lambda status: "has given the pod up" in status["message"], "what to do")
    space.events("lost", "NodeLost")
    space.kubectl("delete", "node", away.name)
    gone = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "node no longer exists",
    }
    away.write("pod", name, {"phase": "Failed", "conditions": [gone]})
    after = space.until("lost", lambda status: reason_of(status) != "NodeLost", "a new pod")
    space.kubectl("delete", "ftj", "lost", "--wait=false")

    assert silent["phase"] == given_up["phase"] == "Pending"
    assert silent["message"].startswith(f"node {away.name} has not answered since ")
    assert silent["attempts"][0]["reason"] == "NodeLost"
    assert [(each["number"], each.get("reason")) for each in back["attempts"]] == [(1, None)]
    assert (
        f"kubectl taint node {away.name} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
        in given_up["message"]
    )
    assert (after["attempts"][0]["reason"], "endTime" in after["attempts"][0]) == ("NodeLost", True)
