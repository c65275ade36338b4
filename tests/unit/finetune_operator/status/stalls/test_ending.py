"""A run that reports as stock transformers does, and stops moving, is ended by the operator; nothing else is."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import (
    at,
    job,
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

from finetune_api.reasons import Reason
from finetune_operator.job.observation import Cause, Hearing

STOCK = {"trainerStatus": {"progressPercentage": 42}}
SINCE = f"no step since {stamp(50)}, for 100 s (runPolicy.progressDeadlineSeconds)"
GOES_ON = f"{SINCE}; the attempt is ended, and a new one goes on from the newest checkpoint, if there is one"
QUEUED = merged(job(), {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team-a"}}})
LOST = {"type": "Ready", "status": "False", "lastTransitionTime": stamp(60)}


def status_at(
    now: int,
    before: Any = None,
    *pods: dict[str, Any],
    raw_job: dict[str, Any] | None = None,
    body: dict[str, Any] | None = STOCK,
    heard: float = 0,
    trouble: str = "",
    deadline: int | None = 100,
    retries: int = 1,
    **spec: Any,
) -> dict[str, Any]:
    """The status at `now` of a job whose last pod reported at second 50."""
    pods = pods or (pod(state=running()),)
    report = received(body, sender=pods[-1]) if body is not None else None
    policy = {"backoffLimit": retries, **({"progressDeadlineSeconds": deadline} if deadline else {})}
    observed = observation(raw_job or job(), *pods, report=report, hearing=Hearing(at(heard), trouble))
    return compute(parsed(before, runPolicy=policy, **spec), observed, now)


def reason(status: dict[str, Any]) -> tuple[str, str]:
    return status["phase"], next(each["reason"] for each in status["conditions"] if each["type"] == "Ready")


def test_it_is_said_half_way_and_ended_after_all_of_its_deadline() -> None:
    moving = status_at(51)
    still = status_at(100, moving)
    ended = status_at(150, still)

    assert [reason(each) for each in (moving, still, ended)] == [
        ("Running", "Training"),
        ("Running", "NotMoving"),
        ("Pending", "ProgressStalled"),
    ]
    assert ended["message"] == GOES_ON
    assert ended["attempts"][0]["reason"] == "ProgressStalled"


def test_until_its_pod_has_ended_nothing_else_is_said_and_the_attempt_keeps_its_reason() -> None:
    ended = status_at(150, status_at(100, status_at(51)))
    suspended = job(suspend=True)

    stopping = status_at(160, ended, raw_job=suspended)
    over = status_at(170, stopping, pod(state=terminated(143, until=165)))
    gone = compute(parsed(stopping), observation(job()), 170)
    second = pod(2, state=running(180))
    again = status_at(200, over, pod(state=terminated(143, until=165)), second, body=None)

    assert (reason(stopping), stopping["message"]) == (("Pending", "ProgressStalled"), GOES_ON)
    assert reason(over)[0] == reason(gone)[0] == "Pending"
    assert [(each["attempts"][0]["reason"], "endTime" in each["attempts"][0]) for each in (over, gone, again)] == [
        ("ProgressStalled", True)
    ] * 3
    assert [(each["number"], each.get("reason")) for each in again["attempts"]] == [(1, "ProgressStalled"), (2, None)]


def test_the_job_fails_when_more_attempts_stood_still_than_may() -> None:
    first = {"number": 1, "pod": "yelp-1", "endTime": stamp(20), "reason": "ProgressStalled"}
    second = pod(2, state=running(30))
    before = {"attempts": [first]}

    failed = status_at(151, status_at(51, before, second), second)

    assert reason(failed) == ("Failed", "ProgressStalled")
    assert failed["failure"]["message"] == f"gave up after 2 attempts that stood still; the last one: {SINCE}"
    assert "raise runPolicy.progressDeadlineSeconds" in failed["failure"]["hint"]
    assert failed["attempts"][1]["reason"] == "ProgressStalled"
    assert failed["attempts"][1]["endTime"] == failed["completionTime"] == stamp(151)


@pytest.mark.parametrize(
    "circumstances",
    [
        {"deadline": None},
        {"body": {"trainerStatus": {"progressPercentage": 100}}},
        {"body": {"report": {**REPORT, "stage": "Evaluating"}}},
        {"heard": 100},
        {"trouble": "its TLS handshake fails"},
    ],
    ids=[
        "no deadline was asked for",
        "what comes after the last step",
        "a trainer with a watchdog evaluates",
        "the operator itself was away",
        "its reports do not arrive",
    ],
)
def test_what_may_well_move_is_not_ended(circumstances: dict[str, Any]) -> None:
    before = status_at(51, **{**circumstances, "heard": 0})

    assert reason(status_at(199, before, **circumstances))[0] == "Running"


def test_one_in_a_queue_of_kueue_is_ended_by_the_deletion_of_its_job_and_keeps_its_reason() -> None:
    ended = status_at(150, status_at(100, status_at(51, raw_job=QUEUED), raw_job=QUEUED), raw_job=QUEUED)
    leaving = Cause(Reason.JOB_DELETED, "a new one comes")
    stopping = compute(parsed(ended), observation(None, pod(state=running()), blocked=leaving), 160)
    over = compute(parsed(stopping), observation(None, blocked=leaving), 170)

    assert (reason(ended), ended["message"]) == (("Pending", "ProgressStalled"), GOES_ON)
    assert (reason(stopping), stopping["message"]) == (("Pending", "ProgressStalled"), GOES_ON)
    assert reason(over) == ("Pending", "JobDeleted")
    assert [(each["reason"], "endTime" in each) for each in over["attempts"]] == [("ProgressStalled", True)]


def test_after_a_start_of_the_operator_it_is_ended_without_another_report() -> None:
    before = status_at(51)

    restarted = [status_at(now, before, body=None, heard=100) for now in (199, 200)]

    assert [reason(each)[0] for each in restarted] == ["Running", "Pending"]


def test_a_new_pod_that_has_not_reported_is_not_judged_by_the_reports_of_the_one_before() -> None:
    first = pod(state=terminated(1, until=60))
    second = pod(2, state=running(70))

    assert reason(status_at(199, status_at(51), first, second, body=None))[0] == "Preparing"


def test_a_pod_whose_node_does_not_answer_is_not_called_still() -> None:
    lost = pod(state=running(), conditions=[LOST])

    assert reason(status_at(199, status_at(51), lost))[1] == "NodeLost"


def test_half_way_it_is_said_whether_another_attempt_follows_by_what_is_counted_here() -> None:
    stalled = {"attempts": [{"number": 1, "pod": "yelp-1", "endTime": stamp(20), "reason": "ProgressStalled"}]}
    failed, second = pod(state=terminated(1, until=20)), pod(2, state=running(30))

    after_a_failure = status_at(100, status_at(51, None, failed, second), failed, second)
    last = status_at(100, status_at(51, stalled, second), second)

    # Kubernetes has counted the first of these, and would none of the other.
    assert after_a_failure["message"].endswith(
        "the attempt ends, and a new one goes on from the newest checkpoint, if there is one"
    )
    assert last["message"].endswith("the job fails: no attempt is left (runPolicy.backoffLimit)")


def of_ours(
    stage: str, came: int, before: Any, now: int, retries: int = 1, unbroken: int = 0, nodes: int = 1
) -> dict[str, Any]:
    """The status of a job whose trainer is ours, at the same step as before, of which reports came from `unbroken` on without a pause."""
    progress = {**REPORT["progress"], "deadlineSeconds": 120}
    pods = [member(index, state=running()) for index in range(nodes)] if nodes > 1 else [pod(state=running())]
    report = received({"report": {**REPORT, "stage": stage, "progress": progress}}, seconds=came, sender=pods[0])
    report = replace(report, unbroken_since=at(unbroken))
    observed = observation(job(), *pods, report=report, hearing=Hearing(at(0)))
    resources = {"resources": {"nodes": nodes}} if nodes > 1 else {}
    return compute(parsed(before, runPolicy={"backoffLimit": retries}, **resources), observed, now)


def restarted(before: dict[str, Any], now: int, since: int) -> dict[str, Any]:
    """The status after a start of the operator, to which nothing has been reported."""
    return compute(parsed(before), observation(job(), pod(state=running()), hearing=Hearing(at(since))), now)


def test_a_trainer_with_a_watchdog_is_ended_here_where_its_reports_say_for_long_that_it_stands_still() -> None:
    moving = of_ours("Training", 50, None, 60)
    watched = of_ours("Training", 2860, moving, 2865)
    ended = of_ours("Training", 2870, watched, 2875)
    failed = of_ours("Training", 2870, watched, 2875, retries=0)

    assert [reason(each) for each in (watched, ended, failed)] == [
        ("Running", "NotMoving"),
        ("Pending", "ProgressStalled"),
        ("Failed", "ProgressStalled"),
    ]
    assert ended["message"].startswith(f"no step since {stamp(50)}, for 120 s; the attempt is ended")
    assert failed["failure"]["hint"].startswith("the first process of its pod, which ends a run that hangs, did not")


def test_of_a_trainer_that_was_not_heard_for_a_while_only_the_reports_after_that_count() -> None:
    """It was frozen, or the network away, or this operator: meanwhile it may have evaluated, and the first of its steps takes as long as it takes."""
    moving = of_ours("Training", 50, None, 60)

    back = of_ours("Training", 10_000, moving, 10_005, unbroken=10_000)
    slow = of_ours("Training", 10_000 + 2810, back, 10_000 + 2815, unbroken=10_000)
    ended = of_ours("Training", 10_000 + 2820, slow, 10_000 + 2825, unbroken=10_000)

    assert [reason(each) for each in (back, slow, ended)] == [
        ("Running", "NotMoving"),
        ("Running", "NotMoving"),
        ("Pending", "ProgressStalled"),
    ]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_job_whose_trainer_has_finished_succeeds_though_its_pod_does_not_end(retries: int) -> None:
    finished = of_ours("Finished", 50, of_ours("Training", 40, None, 45), 60, retries)
    still = of_ours("Finished", 50, finished, 50 + 1350, retries)
    late = of_ours("Finished", 50, still, 50 + 2699, retries)
    ended = of_ours("Finished", 50, late, 50 + 2700, retries)

    assert [reason(each) for each in (finished, still, late, ended)] == [
        ("Running", "Finished"),
        ("Running", "NotMoving"),
        ("Running", "NotMoving"),
        ("Succeeded", "Succeeded"),
    ]
    assert still["message"].endswith(
        f"; the trainer has finished, and its pod has not ended since {stamp(50)}; if it has not by {stamp(2750)} the job has "
        "succeeded, and the pod is deleted"
    )
    assert ended["message"] == (
        "finished after 140 steps, loss 1.20, accuracy 0.58; its pod had not ended 45 min later, and is deleted"
    )
    assert (ended["attempts"][0]["reason"], "failure" in ended) == ("Completed", False)
    assert ended["attempts"][0]["endTime"] == ended["completionTime"] == stamp(2750)


@pytest.mark.parametrize("seen", [60, 1400], ids=["just now", "half way"])
def test_that_a_trainer_has_finished_is_still_known_after_a_start_of_the_operator(seen: int) -> None:
    before = of_ours("Finished", 50, of_ours("Training", 40, None, 45), seen)

    early, late, ended = (restarted(before, now, since=seen + 10) for now in (seen + 11, 2749, 2750))

    assert (reason(early), early["message"]) == (reason(before), before["message"])
    assert [reason(each)[1] for each in (late, ended)] == ["NotMoving", "Succeeded"]


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_trainer_that_has_finished_and_still_reports_is_ended_as_one_that_is_silent(nodes: int) -> None:
    finished = of_ours("Finished", 50, of_ours("Training", 40, None, 45, nodes=nodes), 60, nodes=nodes)
    again = of_ours("Finished", 1000, finished, 1010, nodes=nodes)
    still = of_ours("Finished", 2740, again, 2745, nodes=nodes)
    ended = of_ours("Finished", 2745, still, 2750, nodes=nodes)

    assert [reason(each)[1] for each in (finished, again, still, ended)] == [
        "Finished", "Finished", "NotMoving", "Succeeded",
    ]  # fmt: skip
    assert f"has not ended since {stamp(50)}; if it has not by {stamp(2750)} the job has succeeded" in still["message"]
    assert ended["message"].endswith("; its pod had not ended 45 min later, and is deleted")


def test_nor_does_a_start_of_the_operator_put_that_off() -> None:
    finished = of_ours("Finished", 50, of_ours("Training", 40, None, 45), 60)

    silent = restarted(finished, 2000, since=1990)
    ended = of_ours("Finished", 2745, silent, 2750, unbroken=2745)

    assert [reason(each)[1] for each in (silent, ended)] == ["NotMoving", "Succeeded"]


def test_a_run_that_was_finished_before_and_makes_no_step_is_ended_as_well() -> None:
    body = {"report": {"sequence": 1, "stage": "Finished"}}
    before = None
    for second in (50, 100, 2745):
        report = received(body, seconds=second)
        before = compute(parsed(before), observation(job(), pod(state=running()), report=report), second + 5)

    assert before is not None
    assert reason(before) == ("Succeeded", "Succeeded")


def test_that_one_had_finished_is_not_said_of_the_next_pod() -> None:
    before = of_ours("Finished", 50, None, 60)
    first, second = pod(state=terminated(137, until=65)), pod(2, state=running(70))
    report = received({"report": {**REPORT, "stage": "Finished"}}, 2, seconds=4995)

    silent = compute(parsed(before), observation(job(), first, second, hearing=Hearing(at(0))), 5000)
    finished = compute(parsed(before), observation(job(), first, second, report=report), 5000)

    assert [reason(each) for each in (silent, finished)] == [("Preparing", "ReportsMissing"), ("Running", "Finished")]
    assert finished["progress"]["lastProgressTime"] == stamp(4995)


def test_a_job_that_is_ended_here_says_so_also_where_its_pod_is_about_to_go() -> None:
    finished = of_ours("Finished", 50, None, 60)
    going = pod(state=running())
    going["metadata"]["deletionTimestamp"] = stamp(2740)
    observed = observation(job(), going, hearing=Hearing(at(0)))

    assert reason(compute(parsed(finished), observed, 2750)) == ("Succeeded", "Succeeded")


def test_reports_that_stop_are_no_hang_of_a_trainer_with_a_watchdog() -> None:
    moving = of_ours("Training", 50, None, 60)

    assert reason(of_ours("Training", 50, moving, 100_000)) == ("Running", "ReportsMissing")


def test_a_deadline_of_days_is_said_in_whole() -> None:
    before = status_at(100_000, status_at(51, deadline=200_000), deadline=200_000)

    assert ", for 200000 s (" in status_at(200_050, before, deadline=200_000)["message"]
