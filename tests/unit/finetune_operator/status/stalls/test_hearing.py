"""A pod that runs and whose reports do not come: the status says so, since when, and why that is probably so."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import at, job, line, member, observation, parsed, pod, received, running
from tests.unit.finetune_operator.status.statuses import REPORT, compute

from finetune_operator.job.observation import Hearing, Observation
from finetune_operator.status.compute import compute as computed

NOBODY_KNOWS = (
    "no connection from it is known, so it is slow to begin, or DNS or a NetworkPolicy keeps it from the operator, "
    "or its image sends none. The pod's log has what it met"
)


def heard(observed: Observation, trouble: str = "", since: float = 0) -> Observation:
    """The same, where reports would have come since a second."""
    return replace(observed, hearing=Hearing(at(since), trouble))


def unheard(**hearing: Any) -> Observation:
    """A pod that runs since second 12 and has not reported."""
    return heard(observation(job(), pod(state=running(12))), **hearing)


def test_after_a_minute_a_job_says_that_its_pod_runs_and_its_reports_do_not_come() -> None:
    early, late = compute(parsed(), unheard(), 71), compute(parsed(), unheard(), 72)
    later = compute(parsed(late), unheard(), 3600)

    assert line(early) == ("Preparing", "Preparing", "the pod runs; waiting for the trainer's first report")
    since = "the pod runs, and no report of its trainer has come since 2026-11-20T12:00:12Z: "
    assert line(late) == line(later) == ("Preparing", "ReportsMissing", since + NOBODY_KNOWS)


def test_what_the_operator_has_seen_of_its_connections_is_the_likely_cause() -> None:
    trouble = "its last connection failed in the TLS handshake (TLSV1_ALERT_UNKNOWN_CA)"

    status = compute(parsed(), unheard(trouble=trouble), 90)

    assert status["message"].endswith(f"2026-11-20T12:00:12Z: {trouble}. The pod's log has what it met")


def test_the_time_before_the_operator_listened_does_not_count() -> None:
    assert line(compute(parsed(), unheard(since=50), 100))[1] == "Preparing"
    assert line(compute(parsed(), unheard(since=50), 110))[1] == "ReportsMissing"
    assert line(compute(parsed(), observation(job(), pod(state=running())), 9999))[1] == "Preparing"


def test_what_was_said_before_the_operator_was_restarted_holds_until_something_is_heard() -> None:
    said = compute(parsed(), unheard(), 72)
    other_pod = heard(observation(job(), pod(2, state=running(100))), since=100)
    trouble = "its last connection failed in the TLS handshake"
    report = received({"report": REPORT}, seconds=105)
    reported = heard(observation(job(), pod(state=running(12)), report=report), since=100)

    again = [compute(parsed(said), unheard(since=100), seconds) for seconds in (101, 161, 3600)]

    assert [line(each) for each in again] == [line(said)] * 3
    assert line(compute(parsed(said), other_pod, 110))[1] == "Preparing"
    assert trouble in compute(parsed(said), unheard(since=100, trouble=trouble), 161)["message"]
    assert line(compute(parsed(said), reported, 110))[:2] == ("Running", "Training")


def test_after_a_restart_that_a_job_is_not_suspended_is_not_said_again_before_what_was_said_of_it() -> None:
    refused = replace(unheard(), unchanged="the Job yelp cannot be changed (no)")
    said = compute(parsed(suspend=True), refused, 72)
    restarted = replace(refused, hearing=Hearing(at(100)))

    again = compute(parsed(said, suspend=True), restarted, 101)
    resumed = compute(parsed(again), unheard(since=100), 110)

    assert line(again) == line(said)
    assert line(said)[2].startswith("the Job yelp cannot be changed (no); spec.suspend is set, and its Job runs on: ")
    assert line(resumed) == line(compute(parsed(), unheard(), 72))


def test_pods_that_train_together_have_a_minute_from_when_the_last_of_them_runs() -> None:
    pods = [member(0, state=running(12)), member(1, state=running(40))]
    observed = heard(observation(job(), *pods))
    given = parsed(resources={"nodes": 2})

    early, late = compute(given, observed, 99), compute(given, observed, 100)

    assert line(early)[1] == "Preparing"
    assert late["message"].startswith(
        "all 2 pods run, and no report of its trainer has come since 2026-11-20T12:00:40Z"
    )


def test_a_trainer_that_has_reported_and_falls_silent_is_said_after_longer() -> None:
    report = received({"report": REPORT}, seconds=50)
    observed = heard(observation(job(), pod(state=running()), report=report))
    before = compute(parsed(), observed)

    early, late = compute(parsed(before), observed, 214), compute(parsed(before), observed, 215)

    assert line(early)[:2] == ("Running", "Training")
    assert line(late)[:2] == ("Running", "ReportsMissing")
    assert f"; no report of its trainer has come since 2026-11-20T12:00:50Z: {NOBODY_KNOWS}" in late["message"]


@pytest.mark.parametrize(("seconds", "left"), [(12, 60), (60, 12), (72, None), (900, None)])
def test_the_job_is_looked_at_again_when_the_minute_is_over(seconds: float, left: float | None) -> None:
    assert computed(parsed(), unheard(), at(seconds)).again == left


def test_a_trainer_that_has_finished_is_not_missed_where_its_pod_does_not_end() -> None:
    last = received({"report": {**REPORT, "stage": "Finished"}}, seconds=100)

    status = compute(parsed(), heard(observation(job(), pod(state=running(12)), report=last)), 1200)

    assert line(status)[:2] == ("Running", "Finished")
    assert "no report" not in status["message"]


def test_nor_is_it_after_a_start_of_the_operator() -> None:
    last = received({"report": {**REPORT, "stage": "Finished"}}, seconds=100)
    before = compute(parsed(), heard(observation(job(), pod(state=running(12)), report=last)), 110)

    status = compute(parsed(before), unheard(since=120), 1200)

    assert line(status) == line(before)
