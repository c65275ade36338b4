"""What the status says of a preflight in a pod of its own."""

import pytest
from tests.unit.finetune_operator.preflights import (
    ENDED,
    FAILED,
    MISTAKE,
    PASSED,
    POD_POLICY,
    REPORT,
    TABLE,
    WARNING,
    checked,
    checking_job,
)
from tests.unit.finetune_operator.samples import (
    line,
    observation,
    parsed,
    pod,
    received,
    running,
    stamp,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import compute

from finetune_operator.job.observation import Cause, Observation


@pytest.mark.parametrize(
    ("observed", "told"),
    [
        (checked(), ("Pending", "WaitingForPod", "preflight: waiting for a pod")),
        (
            checked(pod(state={"waiting": {"reason": "ErrImagePull", "message": "no such tag"}})),
            (
                "Pending",
                "ImagePullBackOff",
                "preflight: the image trainer:1 cannot be pulled: no such tag; "
                "check the operator's default image, or name one in pod.image",
            ),
        ),
        (
            checked(pod(state=running())),
            ("Preparing", "Preflight", "checking model and data before GPUs are asked for"),
        ),
        (
            checked(pod(state=running()), report=received({"report": REPORT})),
            (
                "Preparing",
                "Preflight",
                "checking model and data before GPUs are asked for: tokenizing 1000 rows of split train",
            ),
        ),
        (
            checked(pod(state=terminated(0, "Completed", PASSED))),
            ("Preparing", "Preflight", "model and data are checked; waiting for the preflight's Job to complete"),
        ),
        (
            checked(pod(state=terminated(0, "Completed", PASSED)), end=ENDED["Complete"]),
            (
                "Preparing",
                "PreflightPassed",
                "model and data are ready for the training, which takes about 3.0 GiB on each device; creating the Job",
            ),
        ),
        (
            checked(pod(state=terminated(143))),
            ("Pending", "Retrying", "the preflight was stopped; a new pod comes"),
        ),
        (
            checked(pod(state=terminated(137))),
            ("Pending", "Retrying", "the preflight failed: the trainer was killed (SIGKILL)"),
        ),
        (
            checked(suspend=True, start=None),
            (
                "Queued",
                "WaitingForAdmission",
                "preflight: waiting: the Job is suspended, and not by spec.suspend",
            ),
        ),
    ],
)
def test_the_status_says_how_far_the_preflight_is(observed: Observation, told: tuple[str, str, str]) -> None:
    status = compute(parsed(**POD_POLICY), observed)

    assert line(status) == told
    assert "attempts" not in status
    assert "startTime" not in status


def test_a_preflight_of_a_job_that_is_suspended_waits() -> None:
    status = compute(parsed(**POD_POLICY, suspend=True), checked(suspend=True, start=None))

    assert line(status)[:2] == ("Suspended", "Suspended")


def test_what_the_preflight_reports_is_in_the_status() -> None:
    while_it_runs = compute(parsed(**POD_POLICY), checked(pod(state=running()), report=received({"report": REPORT})))
    at_its_end = compute(
        parsed(**POD_POLICY), checked(pod(state=terminated(0, "Completed", PASSED)), end=ENDED["Complete"])
    )

    assert while_it_runs["preflight"] == at_its_end["preflight"] == TABLE | {
        "evaluationRows": 0, "classCount": 0, "classes": [],
    }  # fmt: skip
    assert at_its_end["warnings"] == [WARNING]


def test_a_mistake_ends_the_job_with_the_trainers_own_words() -> None:
    observed = checked(pod(state=terminated(11, message=FAILED)), end=ENDED["Failed"])
    status = compute(parsed(**POD_POLICY), observed, seconds=100)

    assert line(status) == ("Failed", "ColumnNotFound", "there is no column 'txt'")
    assert status["failure"] == MISTAKE | {"exitCode": 11}
    assert status["completionTime"] == stamp(100)
    assert "attempts" not in status


def test_a_preflight_whose_pod_does_not_run_in_time_ends_the_job() -> None:
    given = parsed(runPolicy={"preflight": "pod", "preRunningDeadlineSeconds": 30})

    status = compute(given, checked(start=1), seconds=32)

    assert line(status)[:2] == ("Failed", "PreRunningDeadlineExceeded")
    assert "no pod ran within 30 s" in line(status)[2]


def test_a_preflight_that_has_reported_is_not_late_when_its_pod_is_replaced() -> None:
    before = {"phase": "Preparing", "progress": {"step": 0}}
    given = parsed(before, runPolicy={"preflight": "pod", "preRunningDeadlineSeconds": 30})

    status = compute(given, checked(start=1), seconds=32)

    assert line(status)[0] == "Pending"


def test_why_no_pod_of_the_preflight_comes_is_reported() -> None:
    observed = Observation(
        preflight=observation(checking_job(), blocked=Cause("FailedCreate", "exceeded quota: pods=0"))
    )

    status = compute(parsed(**POD_POLICY), observed)

    assert status["message"] == "preflight: the pod cannot be created: exceeded quota: pods=0"
