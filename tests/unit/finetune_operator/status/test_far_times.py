"""Times of any year, in whatever is read, are no exception, make no wait that never ends, and count for no more than can have been."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.finetune_operator.controller.test_any_object import SCHEMA, odd, oddly, statuses
from tests.unit.finetune_operator.samples import (
    at,
    by_pod,
    finetunejob,
    job,
    observation,
    parsed,
    pod,
    received,
    running,
    stamp,
    terminated,
)

from devcluster.apiserver.schemas.validation import validate
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.observation import Observation
from finetune_operator.job.parse_children import (
    has_ended,
    parse_job,
    parse_pods,
    trim_job,
    trim_pod,
    worth_of_job,
    worth_of_pod,
)
from finetune_operator.job.warnings import Subject
from finetune_operator.job.workload import read_places, read_workload, why_in_queue
from finetune_operator.kube.events import parse_warning, time_of
from finetune_operator.status.change import to_manifest
from finetune_operator.status.compute import compute
from finetune_operator.status.failures.unused_claim import unused_claim

FAR = "8999-12-31T23:59:59Z"
LATE = {
    "usage": {"until": FAR, "gpuSeconds": {"total": 0}, "podSeconds": 0},
    "progress": {"step": 3, "percent": 1, "lastReportTime": FAR, "lastProgressTime": FAR, "deadlineSeconds": 60},
    "attempts": [{"number": 1, "pod": "yelp-1", "startTime": FAR, "trainingStartTime": FAR}],
    "phase": "Running",
}
times = st.sampled_from(
    [FAR, "9999-12-31T23:59:59-14:00", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", stamp(5), stamp(20), "now", 7]
)
some = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def manifest(raw: dict[str, Any], observed: Observation, seconds: float) -> dict[str, Any]:
    computed = compute(parse_finetunejob(raw), observed, at(seconds))
    written = to_manifest(computed.status)

    assert validate(written, SCHEMA["status"]) == []
    assert computed.again is None or computed.again >= 0
    return written


def test_a_container_that_never_ran_has_not_begun_in_1970() -> None:
    never = {"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z", "finishedAt": stamp(20)}

    attempt = manifest(finetunejob(), observation(job(), pod(state={"terminated": never})), 90)["attempts"][0]

    assert "startTime" not in attempt
    assert (attempt["endTime"], attempt["reason"]) == (stamp(20), "ContainerCannotRun")


@pytest.mark.parametrize("begin", [stamp(12), "1970-01-01T00:00:00Z"], ids=["as it was", "long before there were pods"])
@pytest.mark.parametrize("end", [stamp(80), FAR], ids=["as it was", "in thousands of years"])
def test_what_a_node_s_clock_says_makes_no_pod_use_more_than_the_time_that_it_was_there(begin: str, end: str) -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": begin, "finishedAt": end}}

    used = manifest(finetunejob(LATE), observation(job(), pod(state=ended)), 90)["usage"]

    assert used["podSeconds"] <= 80
    assert (used["until"], used["month"]["month"]) == (stamp(90), "2026-11")


def test_times_of_the_future_in_a_status_are_written_over_and_count_from_now_on() -> None:
    observed = observation(job(), pod(state=running()))

    status = manifest(finetunejob(LATE), observed, 60)
    after = manifest(finetunejob(status), observed, 60 + 600)

    assert FAR not in str(status)
    assert after["conditions"][0]["reason"] == "NotMoving"
    assert after["usage"]["podSeconds"] >= 600


def test_what_attempts_of_one_number_use_is_counted_once() -> None:
    pods = [pod(state=terminated(143, until=80)), pod(2, state=terminated(143, until=90))]
    forged = [{"number": 1_000_000, "pod": f"yelp-{number}"} for number in (1, 2)]
    status = manifest(finetunejob({**LATE, "attempts": forged}), observation(job(), *pods), 100)

    again = manifest(finetunejob(status), observation(job(), *pods, pod(3, state=running(100))), 500)

    assert [each["number"] for each in again["attempts"]] == [1_000_000] * 3
    used = [sum(each.get("podSeconds", 0) for each in seen["attempts"]) for seen in (status, again)]
    assert used == [status["usage"]["podSeconds"], again["usage"]["podSeconds"]]


def test_a_job_that_ended_in_the_future_has_ended_now() -> None:
    raw = job(end=("Complete", "", ""))
    raw["status"] |= {"completionTime": FAR, "startTime": FAR}

    status = manifest(finetunejob(), observation(raw, pod(state=terminated(0))), 60)

    assert (status["phase"], status["completionTime"], status["startTime"]) == ("Succeeded", stamp(60), stamp(60))


def test_an_end_of_the_future_lets_no_claim_be_deleted_for_years() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "x", "message": "", "lastTransitionTime": FAR}
    ended = {"phase": "Failed", "run": {"number": 1, "output": "pvc://yelp-0f9be1d4"}, "conditions": [condition]}

    assert unused_claim(parsed(ended), Observation(), at(60)) is None


@pytest.mark.slow
@some
@given(st.lists(times, min_size=8, max_size=8), statuses, st.sampled_from(["running", "terminated", "waiting"]))
def test_any_times_of_a_job_that_goes_on(each: list[Any], status: dict[str, Any], kind: str) -> None:
    state = {kind: {"startedAt": each[0], "finishedAt": each[1], "exitCode": 143, "reason": "r", "message": "m"}}
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": each[2]},
        {"type": "Ready", "status": "False", "lastTransitionTime": each[3]},
    ]
    raw_pod, raw_job = pod(state=state, conditions=conditions), job()
    raw_pod["metadata"] |= {"deletionTimestamp": each[4]} if isinstance(each[4], str) else {}
    raw_job["status"]["startTime"] = each[5]
    told = by_pod(received({"report": {"sequence": 1, "stage": "Training", "progress": {"step": 1}}}, 15))
    observed = Observation(job=parse_job(raw_job), pods=parse_pods([raw_pod], told))

    manifest(finetunejob({**status, "phase": "Running"}), observed, 3600)


POD = pod(
    state=terminated(1, message="m"),
    conditions=[{"type": "Ready", "status": "False", "reason": "", "message": "m", "lastTransitionTime": stamp(3)}],
    initContainerStatuses=[{"name": "i", "state": {"waiting": {"reason": "r", "message": "m"}}}],
    reason="r",
    message="m",
    podIP="10.0.0.1",
    nominatedNodeName="n",
    phase="Failed",
)


@some
@given(
    oddly(st.builds(lambda: deepcopy(POD))), st.none() | oddly(st.builds(lambda: deepcopy(job(end=("Failed", "", "")))))
)
def test_a_pod_or_job_whose_fields_are_of_other_types_is_read_as_far_as_it_can_be_or_left_out(
    raw_pod: dict[str, Any], raw_job: dict[str, Any] | None
) -> None:
    pods, jobs = kept(trim_pod, raw_pod), kept(trim_job, raw_job) if raw_job is not None else []

    for raw in pods:
        worth_of_pod(raw), has_ended(raw)
    for raw in jobs:
        worth_of_job(raw)
    observed = Observation(job=parse_job(jobs[0]) if jobs else None, pods=parse_pods([*pods, trim_pod(pod(2))]))

    manifest(finetunejob(), observed, 3600)


def kept(trim: Any, raw: dict[str, Any]) -> list[dict[str, Any]]:
    """What a cache keeps of it: nothing, if it cannot be read."""
    try:
        return [trim(raw)]
    except Exception:  # noqa: BLE001 - as the cache has it
        return []


@some
@given(odd, odd, times)
def test_any_event_and_any_workload(one: Any, other: Any, time: Any) -> None:
    event = {"series": one, "lastTimestamp": other, "eventTime": time, "count": one, "reason": other, "message": one}
    warned = kept(lambda raw: parse_warning(raw, Subject("Pod", "a")), event)
    time_of({"lastTimestamp": other, "eventTime": time})
    status = {"conditions": [{"type": "QuotaReserved", "status": other, "message": one}], "admissionChecks": one}
    workload = {"metadata": {"name": "w", "ownerReferences": [{"uid": "job-uid"}]}, "status": status}
    read = kept(lambda raw: read_workload(parse_job(job()), raw), workload)
    read_places([{"metadata": {"name": one}, "positionInClusterQueue": other}])

    for each in read:
        if each is not None:
            why_in_queue(each, "q", {})
    assert all(each is None or each.seen.year < 9000 for each in warned)
