"""The deadline for a pod to run."""

from tests.unit.finetune_operator.samples import (
    job,
    line,
    member,
    observation,
    parsed,
    pod,
    running,
    stamp,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import compute


def test_a_pod_that_never_runs_after_admission_ends_the_job_at_its_deadline() -> None:
    given = parsed(runPolicy={"preRunningDeadlineSeconds": 60})
    pull = pod(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}})

    before = compute(given, observation(job(start=1), pull), 60)
    after = compute(given, observation(job(start=1), pull), 61)

    assert before["phase"] == "Pending"
    assert line(after) == (
        "Failed",
        "PreRunningDeadlineExceeded",
        "no pod ran within 60 s (runPolicy.preRunningDeadlineSeconds): the image trainer:1 cannot be pulled: not found; "
        "check the operator's default image, or name one in pod.image",
    )
    assert after["failure"]["reason"] == "PreRunningDeadlineExceeded"


def test_the_deadline_before_running_counts_neither_suspension_nor_an_attempt_that_ran() -> None:
    given = parsed(runPolicy={"preRunningDeadlineSeconds": 60})
    retry = observation(job(start=1), pod(state=terminated(1)), pod(2, node=None))
    ran = compute(given, observation(job(start=1), pod(state=terminated(1))), 95)
    gone = observation(job(start=1), pod(2, node=None))

    phases = [
        compute(given, observation(job(suspend=True, start=None)), 900)["phase"],
        compute(given, retry, 900)["phase"],
        compute(parsed(ran, runPolicy={"preRunningDeadlineSeconds": 60}), gone, 900)["phase"],
        # Suspended and admitted once more: it counts again from there.
        compute(given, observation(job(start=200), pod(state=terminated(143))), 259)["phase"],
        compute(given, observation(job(start=200), pod(state=terminated(143))), 260)["phase"],
    ]

    assert phases == ["Queued", "Pending", "Pending", "Pending", "Failed"]


def test_a_pod_on_a_node_whose_clock_is_an_hour_behind_has_run_in_time() -> None:
    policy = {"preRunningDeadlineSeconds": 60}
    given = parsed(runPolicy=policy)
    two = parsed(runPolicy=policy, resources={"nodes": 2})

    runs = compute(given, observation(job(start=1), pod(state=running(-3590))), 900)
    failed = compute(given, observation(job(start=1), pod(state=terminated(1, since=-3590, until=-3560))), 50)
    again = compute(parsed(failed, runPolicy=policy), observation(job(start=1), pod(2, node=None)), 900)
    train = compute(two, observation(job(start=1), member(0, state=running(-3590)), member(1, state=running(12))), 900)

    assert [each["phase"] for each in (runs, failed, again, train)] == ["Preparing", "Pending", "Pending", "Preparing"]
    (attempt,) = failed["attempts"]
    # It came at second 10, and ran for thirty.
    assert (attempt["startTime"], attempt["endTime"], attempt["podSeconds"]) == (stamp(10), stamp(40), 30)
