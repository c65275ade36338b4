"""Nothing of a status changes by time alone before the job is looked at again."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.finetune_operator.samples import at, line, parsed, received
from tests.unit.finetune_operator.status.statuses import REPORT

from finetune_operator.job.observation import Cause, Hearing, JobState, Observation, PodState, Terminated
from finetune_operator.job.report import Received
from finetune_operator.status.change import to_manifest
from finetune_operator.status.compute import compute

_NOW = 1000
_LONGEST = timedelta(days=2)
_ALMOST = 0.01
_PASSES = 12

past = st.integers(_NOW - 900, _NOW)
maybe_past = st.none() | past
policies = st.fixed_dictionaries(
    {}, optional={"preRunningDeadlineSeconds": st.integers(60, 3600), "progressDeadlineSeconds": st.integers(60, 3600)}
)
stages = st.sampled_from(["Preparing", "Training", "Evaluating", "Finished"])


@st.composite
def pods(draw: st.DrawFn, index: int) -> PodState:
    kind = draw(st.sampled_from(["waits", "runs", "runs", "ended"]))
    times = sorted(draw(st.tuples(past, past, past)))
    created, scheduled, started = map(at, times)
    gone_by = draw(st.none() | st.integers(_NOW - 200, _NOW + 200))
    cause = Cause("DeletionByTaintManager", "a taint")
    ended = Terminated(draw(st.sampled_from([0, 1, 10, 143, 137])), "Error", finished=at(_NOW))
    name = f"yelp-{index}"
    return PodState(
        name=name,
        uid=name,
        index=index,
        created=created,
        scheduled=scheduled,
        node=draw(st.sampled_from([None, "n1"])) if kind == "waits" else "n1",
        started=None if kind == "waits" else started,
        running=kind == "runs",
        waiting=Cause("ContainerCreating", "") if kind == "waits" else None,
        missed_since=None if (missed := draw(maybe_past)) is None else at(missed),
        gone_by=None if gone_by is None else at(gone_by),
        disrupted=cause if draw(st.booleans()) else None,
        terminated=ended if kind == "ended" else None,
        report=draw(st.none() | reports(name)) if kind == "runs" and index == 0 else None,
    )


@st.composite
def reports(draw: st.DrawFn, name: str) -> Received:
    moved = at(draw(past)).strftime("%Y-%m-%dT%H:%M:%SZ")
    progress = {**REPORT["progress"], "lastProgressTime": moved, "deadlineSeconds": draw(st.integers(60, 3600))}
    body: dict[str, Any] = {"report": {**REPORT, "stage": draw(stages), "progress": progress}}
    if draw(st.booleans()):
        body = {"trainerStatus": {"progressPercentage": draw(st.integers(0, 100)), "metrics": []}}
    return received(body, seconds=draw(past), sender={"metadata": {"name": name, "uid": name}})


@st.composite
def observations(draw: st.DrawFn, nodes: int) -> Observation:
    start = draw(maybe_past)
    job = JobState(
        name="yelp", uid="job-uid", suspended=draw(st.sampled_from([False, False, True])),
        start_time=None if start is None else at(start), created=at(0),
    )  # fmt: skip
    there = tuple(draw(pods(index)) for index in range(draw(st.integers(0, nodes))))
    hearing = draw(
        st.none()
        | st.builds(
            lambda since, trouble: Hearing(at(since), trouble), past, st.sampled_from(["", "its TLS handshake failed"])
        )
    )
    return Observation(job=job, pods=there, hearing=hearing)


def test_a_job_is_looked_at_again_when_its_deleted_pod_is_late_also_while_it_is_suspended() -> None:
    job = JobState(name="yelp", uid="job-uid", suspended=True, created=at(0))
    pod = PodState(name="yelp-1", uid="pod-1", node="n1", created=at(5), started=at(10), running=True, gone_by=at(100))

    computed = compute(parsed(suspend=True), Observation(job=job, pods=(pod,)), at(90))

    assert (computed.status.phase, computed.again) == ("Suspended", 40)


def test_a_job_is_looked_at_again_when_the_last_report_of_a_deleted_pod_is_too_old_to_prove_that_it_runs() -> None:
    job = JobState(name="yelp", uid="job-uid", suspended=False, start_time=at(1), created=at(0))
    told = received({"report": REPORT}, seconds=120, sender={"metadata": {"name": "yelp-1", "uid": "pod-1"}})
    pod = PodState(
        name="yelp-1", uid="pod-1", node="n1", created=at(5), started=at(10), running=True, gone_by=at(100), report=told
    )

    computed = compute(parsed(), Observation(job=job, pods=(pod,)), at(131))

    assert (computed.status.phase, computed.again) == ("Running", 49)


@pytest.mark.slow
@settings(max_examples=20 * settings().max_examples)
@given(st.data(), st.sampled_from([1, 2]), policies, st.booleans(), st.booleans())
def test_until_a_job_is_looked_at_again_time_changes_nothing_of_phase_reason_and_message(
    data: st.DataObject, nodes: int, policy: dict[str, Any], suspend: bool, is_preflight: bool
) -> None:
    observed = data.draw(observations(1 if is_preflight else nodes))
    observed = Observation(preflight=observed) if is_preflight else observed
    spec: dict[str, Any] = {"runPolicy": policy, "resources": {"nodes": nodes}, "suspend": suspend}
    now, status = at(_NOW), None

    for _ in range(_PASSES):
        computed = compute(parsed(status, **spec), observed, now)
        status = to_manifest(computed.status)
        if status["phase"] in ("Succeeded", "Failed"):
            return
        wait = _LONGEST if computed.again is None else timedelta(seconds=computed.again)
        just_before = now + max(timedelta(0), wait - timedelta(seconds=_ALMOST))
        later = to_manifest(compute(parsed(status, **spec), observed, just_before).status)
        assert line(later) == line(status)
        if computed.again is None:
            return
        now += wait
