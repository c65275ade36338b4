"""Pods that are taken away, and nodes that are not heard of any more."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import (
    job,
    line,
    member,
    merged,
    observation,
    parsed,
    pod,
    received,
    running,
    stamp,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import REPORT, compute

from finetune_operator.job.observation import Observation
from finetune_operator.status.failures.disruptions import next_loss

TAINTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
}
BEFORE = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))


def unready(since: float, reason: str = "") -> dict[str, Any]:
    """The condition Ready of a pod that is not, as the node lifecycle controller writes it: without a reason."""
    told = {"reason": reason} if reason else {}
    return {"type": "Ready", "status": "False", "lastTransitionTime": stamp(since), **told}


def deleted(given: dict[str, Any], by: float) -> dict[str, Any]:
    """The same pod, being deleted, with time to end until then."""
    return merged(given, {"metadata": {"deletionTimestamp": stamp(by)}})


def two(first: dict[str, Any], second: dict[str, Any], seconds: float, report: Any = None) -> dict[str, Any]:
    given = parsed(resources={"gpus": 1, "nodes": 2})
    return compute(given, observation(job(), first, second, report=report), seconds)


def test_a_node_that_does_not_answer_is_named_with_its_time_and_what_becomes_of_the_pod() -> None:
    silent = pod(state=running(), conditions=[unready(60)])

    status = compute(parsed(BEFORE), observation(job(), silent, report=received({"report": REPORT})), 130)

    assert line(status) == (
        "Pending",
        "NodeLost",
        "node n1 has not answered since 2026-11-20T12:01:00Z: the pod goes on if the node is back within the time that it "
        "tolerates this (5 min by default); after that Kubernetes gives the pod up, and replaces it once the node is back. "
        "If that is gone for good, `kubectl delete node n1`; if it is off, "
        "`kubectl taint node n1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`",
    )
    assert status["attempts"][0]["reason"] == "NodeLost"


def test_a_pod_that_was_given_up_says_what_a_person_may_do() -> None:
    given_up = deleted(pod(state=running(), conditions=[unready(60), TAINTED]), 480)

    status = compute(parsed(BEFORE), observation(job(), given_up), 370)

    assert line(status)[:2] == ("Pending", "NodeLost")
    assert status["message"] == (
        "node n1 has not answered since 2026-11-20T12:01:00Z: Kubernetes has given the pod up, and replaces it once the "
        "node is back. If that is gone for good, `kubectl delete node n1`; if it is off, "
        "`kubectl taint node n1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`"
    )


def test_of_many_pods_the_one_on_the_lost_node_is_named_and_does_not_count_as_running() -> None:
    first = member(0, state=running())
    silent = member(1, state=running(), node="n2", conditions=[unready(60)])
    follower = member(0, 2, state=running(200))

    before = two(first, silent, 80, received({"report": REPORT}, sender=first, seconds=59))
    waits = two(member(0, state=terminated(17, until=100)), silent, 110)
    again = two(follower, silent, 210)

    assert line(before)[:2] == line(again)[:2] == ("Pending", "NodeLost")
    assert before["message"].startswith("1 of 2 pods run; pod 1: node n2 has not answered since 2026-11-20T12:01:00Z: ")
    assert again["message"] == before["message"]
    assert line(waits)[:2] == ("Pending", "Resuming")
    assert "pod 1: node n2 has not answered since" in waits["message"]
    assert waits["attempts"][0]["reason"] == "NodeLost"


def test_a_pod_that_still_reports_runs_whatever_the_control_plane_knows_of_its_node() -> None:
    silent = pod(state=running(), conditions=[unready(60)])
    observed = observation(job(), silent, report=received({"report": REPORT}, seconds=100))

    status, later = (compute(parsed(BEFORE), observed, seconds) for seconds in (110, 160))

    assert line(status)[:2] == ("Running", "Training")
    assert status["message"].startswith("epoch 1.1 of 3")
    assert line(later)[:2] == ("Pending", "NodeLost")
    assert "reason" not in status["attempts"][0]


def test_a_node_that_is_back_is_forgotten() -> None:
    silent = observation(job(), pod(state=running(), conditions=[unready(60)]))
    lost = compute(parsed(BEFORE), silent, 130)

    back = pod(state=running(), conditions=[{"type": "Ready", "status": "True", "lastTransitionTime": stamp(190)}])
    status = compute(parsed(lost), observation(job(), back, report=received({"report": REPORT}, seconds=195)), 200)

    assert line(status)[:2] == ("Running", "Training")
    assert "reason" not in status["attempts"][0]


@pytest.mark.parametrize("reason", ["ContainersNotReady", "ReadinessGatesNotReady"])
def test_a_sidecar_that_is_not_ready_is_no_lost_node(reason: str) -> None:
    given = pod(state=running(), conditions=[unready(60, reason)])

    status = compute(parsed(BEFORE), observation(job(), given, report=received({"report": REPORT}, seconds=50)), 300)

    assert line(status)[:2] == ("Running", "Training")


def test_a_deletion_that_no_node_confirms_is_a_lost_node_though_nothing_else_shows_it() -> None:
    given = deleted(pod(state=running()), 100)

    ending, lost = (compute(parsed(BEFORE), observation(job(), given), seconds) for seconds in (129, 130))

    assert line(ending)[:2] == ("Running", "PodDeleted")
    assert ending["message"].startswith("the pod is being deleted; the trainer saves a checkpoint and stops; ")
    assert line(lost)[:2] == ("Pending", "NodeLost")
    assert lost["message"].startswith("node n1 has not answered since 2026-11-20T12:01:40Z: Kubernetes has given")


def test_a_trainer_whose_node_does_not_answer_is_not_said_to_save_though_its_reports_arrive() -> None:
    given_up = deleted(pod(state=running(), conditions=[unready(60), TAINTED]), 480)
    report = received({"report": REPORT}, seconds=365)

    ending = compute(parsed(BEFORE), observation(job(), given_up, report=report), 370)
    suspended = compute(parsed(BEFORE, suspend=True), observation(job(suspend=True), given_up, report=report), 370)

    untold = "the trainer is not told, since node n1 has not answered since 2026-11-20T12:01:00Z"
    assert line(ending)[:2] == ("Running", "DeletionByTaintManager")
    assert ending["message"].startswith(f"node n1 has got a taint that the pod does not tolerate; {untold}; epoch 1.1")
    assert line(suspended) == ("Suspended", "Stopping", f"suspended: {untold}")


@pytest.mark.parametrize(
    ("reason", "message", "told"),
    [
        (
            "PreemptionByScheduler",
            "default-scheduler: preempting to accommodate a higher priority pod",
            "the scheduler preempts the pod on node n1 for one of higher priority",
        ),
        (
            "EvictionByEvictionAPI",
            "Eviction API: evicting",
            "the pod is evicted from node n1, as when the node is drained",
        ),
        ("DeletionByTaintManager", TAINTED["message"], "node n1 has got a taint that the pod does not tolerate"),
        ("DeletionByPodGC", "PodGC: node no longer exists", "node n1 is gone, or out of service"),
        (
            "TerminationByKubelet",
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 76Mi. ",
            "node n1 ends the pod: The node was low on resource: memory. Threshold quantity: 100Mi, available: 76Mi",
        ),
        ("SpotReclaimed", "two minutes are left", "two minutes are left"),
    ],
)
def test_a_notice_is_named_while_the_trainer_saves_and_when_it_has_stopped(
    reason: str, message: str, told: str
) -> None:
    target = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    ends = deleted(pod(state=running(), conditions=[target]), 200)
    stopped = deleted(pod(state=terminated(143), conditions=[target]), 200)

    saving = compute(parsed(BEFORE), observation(job(), ends), 85)
    after = compute(parsed(saving), observation(job(), stopped), 95)

    assert line(saving)[:2] == ("Running", reason)
    assert saving["message"].startswith(f"{told}; the trainer saves a checkpoint and stops; epoch 1.1 of 3")
    assert line(after) == ("Pending", "Resuming", f"{told}; a checkpoint was saved; a new one goes on from there")
    assert [status["attempts"][0]["reason"] for status in (saving, after)] == [reason, reason]


@pytest.mark.parametrize("reason", ["Terminated", "NodeShutdown"])
def test_the_shutdown_of_a_node_has_one_name_in_all_versions(reason: str) -> None:
    target = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
    told = {"reason": reason, "message": "Pod was terminated in response to imminent node shutdown."}

    status = compute(
        parsed(BEFORE), observation(job(), pod(state=terminated(143), conditions=[target], phase="Failed", **told)), 95
    )

    assert status["attempts"][0]["reason"] == "NodeShutdown"
    assert status["message"].startswith("node n1 is shut down; ")


def test_a_pass_comes_again_when_time_alone_may_show_that_a_pod_is_lost() -> None:
    report = received({"report": REPORT}, seconds=100)
    silent = observation(job(), pod(state=running(), conditions=[unready(60)]), report=report)
    ends = observation(job(), deleted(pod(state=running()), 100))
    cases: list[Observation] = [observation(job(), pod(state=running()), report=report), silent, ends]

    assert [next_loss(each, received({"report": REPORT}, seconds=110).time) for each in cases] == [None, 50.0, 20.0]


def test_an_attempt_that_ended_with_its_node_keeps_that_reason() -> None:
    lost = compute(parsed(BEFORE), observation(job(), pod(state=running(), conditions=[unready(60), TAINTED])), 130)
    collected = pod(state=running(), conditions=[unready(60), TAINTED], phase="Failed")

    status = compute(parsed(lost), observation(job(), collected), 400)

    assert status["attempts"][0]["reason"] == "NodeLost"
    assert line(status)[:2] == ("Pending", "Resuming")


def test_a_suspended_job_whose_pod_is_lost_does_not_wait_for_its_trainer_to_stop() -> None:
    silent = observation(job(suspend=True), deleted(pod(state=running(), conditions=[unready(60)]), 480))

    status = compute(parsed(BEFORE, suspend=True), silent, 370)

    assert line(status)[:2] == ("Suspended", "NodeLost")
    assert status["message"].startswith("suspended, but node n1 has not answered since 2026-11-20T12:01:00Z: ")


def test_a_failed_pod_of_the_past_is_not_lost() -> None:
    ended = deleted(pod(state=terminated(143), conditions=[unready(60)]), 100)

    status = compute(parsed(BEFORE), observation(job(), ended), 900)

    assert line(status)[:2] == ("Pending", "Resuming")
