"""What `kubectl get events` shows of a job."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import at, job, observation, parsed, pod, received, running, stamp, terminated
from tests.unit.finetune_operator.status.statuses import REPORT, compute

from finetune_api.status import FineTuneJobStatus
from finetune_operator.job.observation import Cause, Observation
from finetune_operator.status.announcements.job_event import job_event
from finetune_operator.status.compute import compute as computed

NO_GPU = [
    {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
    }
]
PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
AGAIN = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
PREEMPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]


def told(before: Observation | None, after: Observation) -> tuple[str, str] | None:
    """Type and reason of the Event between two observations of a job."""
    given = parsed(compute(parsed(), before) if before is not None else None)
    event = job_event(given, computed(given, after, at(70)).status, at(70))
    return None if event is None else (event["type"], event["reason"])


TRAINS = observation(job(), pod(state=running()), report=received({"report": REPORT}))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, observation(), None),
        (observation(), observation(job()), None),
        (observation(job()), observation(job(), pod()), None),
        (observation(job()), observation(job(), pod(node=None, conditions=NO_GPU)), ("Warning", "Unschedulable")),
        (
            observation(job(), pod(node=None, conditions=NO_GPU)),
            observation(job(), pod(state=PULL)),
            ("Warning", "ImagePullBackOff"),
        ),
        (observation(job(), pod(state=PULL)), observation(job(), pod(state=AGAIN)), None),
        (observation(job(), pod(state=PULL)), observation(job(), pod()), None),
        (observation(job(), pod(state=PULL)), TRAINS, ("Normal", "Running")),
        (TRAINS, observation(job(), pod(state=running(), conditions=PREEMPTED)), ("Warning", "PreemptionByScheduler")),
        (TRAINS, observation(job(), pod(state=terminated(143))), ("Normal", "Resuming")),
        (TRAINS, observation(job(), pod(state=terminated(1))), ("Warning", "Retrying")),
        (None, observation(job(suspend=True, start=None)), ("Normal", "WaitingForAdmission")),
        (
            observation(),
            observation(blocked=Cause("CreateForbidden", "exceeded quota")),
            ("Warning", "CreateForbidden"),
        ),
        (
            TRAINS,
            observation(job(end=("Failed", "BackoffLimitExceeded", "")), pod(state=terminated(137))),
            ("Warning", "Killed"),
        ),
    ],
)
def test_an_event_is_posted_for_each_phase_and_each_reason_of_a_wait(
    before: Observation | None, after: Observation, expected: tuple[str, str] | None
) -> None:
    assert told(before, after) == expected


def test_the_event_is_about_the_job_and_has_its_message() -> None:
    waits = computed(parsed(), observation(job(), pod(node=None, conditions=NO_GPU)), at(70)).status

    event: Any = job_event(parsed(), waits, at(70))

    assert (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == ("FineTuneJob", "yelp")
    assert event["message"] == waits.message
    assert event["lastTimestamp"] == stamp(70)


def test_a_status_without_a_phase_has_no_event() -> None:
    assert job_event(parsed(), FineTuneJobStatus(), at(70)) is None
