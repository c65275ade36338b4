"""A run that reports as stock transformers does, and stops moving, is ended by the operator; nothing else is."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import (
    at,
    job,
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
GOES_ON = f"{SINCE}; the attempt is ended, and a new one goes on from the newest checkpoint"
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
    assert after_a_failure["message"].endswith("the attempt ends, and a new one goes on from the newest checkpoint")
    assert last["message"].endswith("the job fails: no attempt is left (runPolicy.backoffLimit)")


def of_ours(stage: str, came: int, before: Any, now: int, retries: int = 1, heard: int = 0) -> dict[str, Any]:
    """The status of a job whose trainer is ours, at the same step as before, of which reports came here from `heard` on."""
    progress = {**REPORT["progress"], "deadlineSeconds": 120}
    report = received({"report": {**REPORT, "stage": stage, "progress": progress}}, seconds=came)
    observed = observation(job(), pod(state=running()), report=report, hearing=Hearing(at(heard)))
    return compute(parsed(before, runPolicy={"backoffLimit": retries}), observed, now)


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


def test_a_pod_that_does_not_end_long_after_its_trainer_has_finished_is_ended() -> None:
    finished = of_ours("Finished", 50, of_ours("Training", 40, None, 45), 60)
    still = of_ours("Finished", 50, finished, 50 + 1350)
    ended = of_ours("Finished", 50, still, 50 + 2700)

    assert [reason(each) for each in (finished, still, ended)] == [
        ("Running", "Finished"),
        ("Running", "NotMoving"),
        ("Pending", "ProgressStalled"),
    ]
    what = f"the trainer has finished, and its pod has not ended since {stamp(50)}"
    assert still["message"].endswith(
        f"{what}; if it has not by {stamp(2750)} the attempt ends, and a new one goes on from the newest checkpoint"
    )
    assert ended["message"] == (
        f"{what}, for 2700 s; the attempt is ended, and a new one goes on from the newest checkpoint"
    )


def test_an_operator_that_was_away_while_a_step_had_no_end_does_not_end_an_attempt_by_the_first_report_that_it_hears() -> (
    None
):
    moving = of_ours("Training", 50, None, 60)

    # Between these two the trainer may have evaluated, and have said so to nobody.
    back = of_ours("Training", 10_000, moving, 10_005, heard=9_990)
    ended = of_ours("Training", 9_990 + 2820, back, 9_990 + 2825, heard=9_990)

    assert [reason(each) for each in (back, ended)] == [("Running", "NotMoving"), ("Pending", "ProgressStalled")]


def test_until_the_pod_of_a_finished_trainer_has_ended_the_status_says_so() -> None:
    finished = of_ours("Finished", 50, of_ours("Training", 40, None, 45), 60)
    ended = of_ours("Finished", 50, finished, 50 + 2700)

    stopping = of_ours("Finished", 50, ended, 50 + 2710)

    assert (reason(stopping), stopping["message"]) == (("Pending", "ProgressStalled"), ended["message"])


def test_reports_that_stop_are_no_hang_of_a_trainer_with_a_watchdog() -> None:
    moving = of_ours("Training", 50, None, 60)

    assert reason(of_ours("Training", 50, moving, 100_000)) == ("Running", "ReportsMissing")


def test_a_deadline_of_days_is_said_in_whole() -> None:
    before = status_at(100_000, status_at(51, deadline=200_000), deadline=200_000)

    assert ", for 200000 s (" in status_at(200_050, before, deadline=200_000)["message"]
