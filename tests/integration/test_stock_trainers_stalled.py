"""A run that reports as stock transformers does and stands still: the operator ends it, and gives up with `backoffLimit`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, Space, finetunejob, reason_of
from tests.integration.played_node import PlayedNode, played_node
from tests.integration.test_reports import Reporting

from devcluster.testing.api import wait_for

NAME = "stock"
STOCK = {"trainerStatus": {"progressPercentage": 42}}


@pytest.fixture
def node(space: Space) -> Iterator[PlayedNode]:
    with played_node(space) as made:
        yield made


@pytest.fixture
def reporting(space: Space, operator_process: OperatorProcess, tmp_path: Path) -> Reporting:
    ca = tmp_path / "ca.crt"
    return Reporting(space, f"https://127.0.0.1:{operator_process.environment['FINETUNE_OPERATOR_REPORTS_PORT']}", ca)


def stand_still(
    node: PlayedNode, reporting: Reporting, known: list[str], name: str = NAME
) -> tuple[str, dict[str, Any]]:
    """A new pod runs, reports once, and no more. Returns its name, and the status when the operator ends it.

    That it runs, and then that it does not move, is written only where the operator comes to it in these few seconds.
    """
    pod = node.pod_of(name, known)
    reporting.ca.write_text(node.space.get("configmap", "finetune-operator-ca")["data"]["ca.crt"])
    node.run(pod)
    node.space.until(name, lambda status: status["phase"] == "Preparing", "a pod that runs")
    assert reporting.post(reporting.token(pod), name, STOCK) == 200
    return pod, node.space.until(name, lambda status: reason_of(status) == "ProgressStalled", "the end of the attempt")


@pytest.mark.slow
def test_the_operator_ends_it_lets_another_attempt_go_on_and_gives_up_with_the_last(
    space: Space, node: PlayedNode, reporting: Reporting
) -> None:
    policy = {"progressDeadlineSeconds": 5, "backoffLimit": 1}
    space.apply(finetunejob(NAME, pod={"nodeSelector": node.selector}, runPolicy=policy))

    first, ended = stand_still(node, reporting, [])
    asked_to_stop = lambda: "deletionTimestamp" in space.get("pod", first)["metadata"]  # noqa: E731
    wait_for(asked_to_stop, bool, "its pod to be asked to stop")
    suspended = space.get("job", NAME)["spec"]["suspend"]
    now = datetime.now(UTC)
    node.end(first, 143, now - timedelta(seconds=9), now)
    space.kubectl("delete", "pod", first, "--grace-period=0", "--force", "--wait=false")
    second, failed = stand_still(node, reporting, [first])
    wait_for(lambda: space.get("job", NAME), lambda job: not job, "its Job to be deleted")
    now = datetime.now(UTC)
    node.end(second, 143, now - timedelta(seconds=60), now)
    used = failed["usage"]["podSeconds"]
    last = space.until(NAME, lambda status: status["usage"]["podSeconds"] > used, "what its last pod used to its end")
    space.kubectl("delete", "pod", second, "--grace-period=0", "--force", "--wait=false", "--ignore-not-found")

    assert (ended["phase"], ended["attempts"][0]["reason"], suspended) == ("Pending", "ProgressStalled", True)
    assert "for 5 s (runPolicy.progressDeadlineSeconds); the attempt is ended" in ended["message"]
    assert failed["phase"] == "Failed"
    assert {**last, "usage": None, "attempts": None} == {**failed, "usage": None, "attempts": None}
    assert sum(each["podSeconds"] for each in last["attempts"]) == last["usage"]["podSeconds"]
    assert failed["failure"]["message"].startswith("gave up after 2 attempts that stood still")
    assert [(each["number"], each["reason"]) for each in failed["attempts"]] == [
        (1, "ProgressStalled"),
        (2, "ProgressStalled"),
    ]
    space.events(NAME, "ProgressStalled")


@pytest.mark.slow
def test_a_job_in_a_queue_is_deleted_after_its_pod_and_the_next_one_waits_in_the_queue_again(
    space: Space, node: PlayedNode, reporting: Reporting
) -> None:
    name = "stock-queued"
    pod = {"nodeSelector": node.selector, "labels": {"kueue.x-k8s.io/queue-name": "team-a"}}
    space.apply(finetunejob(name, pod=pod, runPolicy={"progressDeadlineSeconds": 5, "backoffLimit": 1}))

    first, ended = stand_still(node, reporting, [], name)
    leaving = wait_for(
        lambda: space.get("job", name)["metadata"], lambda found: "deletionTimestamp" in found, "its Job's deletion"
    )
    asked_to_stop = lambda: "deletionTimestamp" in space.get("pod", first)["metadata"]  # noqa: E731
    wait_for(asked_to_stop, bool, "its pod to be asked to stop")
    now = datetime.now(UTC)
    node.end(first, 143, now - timedelta(seconds=9), now)
    space.kubectl("delete", "pod", first, "--grace-period=0", "--force", "--wait=false", "--ignore-not-found")
    second = node.pod_of(name, [first])
    made = space.get("job", name)["metadata"]
    status = space.until(name, lambda status: len(status["attempts"]) == 2, "its second attempt")
    space.kubectl("delete", "ftj", name, "--wait=false")
    space.kubectl("delete", "pod", second, "--grace-period=0", "--force", "--wait=false")

    assert (ended["phase"], ended["attempts"][0]["reason"]) == ("Pending", "ProgressStalled")
    assert made["uid"] != leaving["uid"]
    assert made["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert [(each["number"], each.get("reason")) for each in status["attempts"]] == [(1, "ProgressStalled"), (2, None)]
