"""Each change of a job's life is counted once, with labels of the contract alone."""

from datetime import datetime
from typing import Any

import pytest
from tests.unit.finetune_operator.metrics.scrape import added, samples
from tests.unit.finetune_operator.samples import START, at, stamp

from finetune_api.status import FineTuneJobStatus
from finetune_operator.metrics.lifecycle import record


def status(phase: str, reason: str = "Training", **others: Any) -> FineTuneJobStatus:
    ready = {"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": stamp(0)}
    return FineTuneJobStatus.model_validate({"phase": phase, "conditions": [ready], **others})


def attempt(number: int = 1, **others: Any) -> dict[str, Any]:
    return {"number": number, "pod": f"yelp-{number}", **others}


def recorded(before: FineTuneJobStatus, after: FineTuneJobStatus, now: datetime = START) -> dict[Any, float]:
    so_far = samples()
    record("team-a", START, before, after, now)
    return added(so_far)


def test_a_first_pod_ends_the_wait_in_the_queue_and_a_second_does_not() -> None:
    queued = status("Queued")
    first = status("Preparing", attempts=[attempt(1, startTime=stamp(90))])
    second = status("Preparing", attempts=[attempt(1, startTime=stamp(90)), attempt(2, startTime=stamp(200))])

    assert recorded(queued, first) == {
        ("finetune_job_queue_wait_seconds_count",): 1,
        ("finetune_job_queue_wait_seconds_sum",): 90,
    }
    assert recorded(first, second) == {}


def test_the_first_step_is_timed_once_and_the_start_of_each_attempt_by_itself() -> None:
    preparing = status("Preparing", attempts=[attempt(1, startTime=stamp(90))])
    running = status("Running", attempts=[attempt(1, startTime=stamp(90))], progress={"step": 1})
    later = status("Running", attempts=[attempt(1, startTime=stamp(90))], progress={"step": 2})

    assert recorded(preparing, running, at(150)) == {
        ("finetune_attempt_startup_seconds_count",): 1,
        ("finetune_attempt_startup_seconds_sum",): 60,
        ("finetune_job_time_to_first_step_seconds_count",): 1,
        ("finetune_job_time_to_first_step_seconds_sum",): 150,
    }
    assert recorded(running, later, at(160)) == {}


def test_a_failed_attempt_and_the_end_of_its_job_are_counted_by_their_reasons() -> None:
    running = status("Running", attempts=[attempt(1, startTime=stamp(0))])
    ended = [attempt(1, startTime=stamp(0), endTime=stamp(9), reason="CudaOutOfMemory", exitCode=1)]
    failed = status("Failed", "CudaOutOfMemory", attempts=ended)

    assert recorded(running, failed) == {
        ("finetune_attempts_ended_total", "team-a", "CudaOutOfMemory"): 1,
        ("finetune_jobs_ended_total", "team-a", "Failed", "CudaOutOfMemory"): 1,
    }
    assert recorded(failed, failed) == {}


def test_a_word_that_a_pod_made_up_is_no_label_of_its_own() -> None:
    made_up = status("Failed", "IMadeThisUp", attempts=[attempt(1, endTime=stamp(9), reason="AndThis")])

    assert recorded(status("Running"), made_up) == {
        ("finetune_attempts_ended_total", "team-a", "Other"): 1,
        ("finetune_jobs_ended_total", "team-a", "Failed", "Other"): 1,
    }


@pytest.mark.parametrize("clock", [-60.0, 0.0])
def test_a_clock_that_is_behind_gives_no_negative_time(clock: float) -> None:
    first = status("Preparing", attempts=[attempt(1, startTime=stamp(clock))])

    assert recorded(status("Queued"), first) == {("finetune_job_queue_wait_seconds_count",): 1}


def test_gpu_time_is_added_as_it_is_used_and_what_a_failure_costs_as_lost() -> None:
    def used(total: int, useful: int, lost: int) -> FineTuneJobStatus:
        seconds = {"total": total, "useful": useful, "lost": lost}
        return status("Running", usage={"gpuSeconds": seconds, "until": stamp(0)})

    assert recorded(used(100, 60, 40), used(180, 20, 160)) == {
        ("finetune_gpu_seconds_total", "team-a"): 80,
        ("finetune_gpu_seconds_lost_total", "team-a"): 120,
    }
    assert recorded(status("Pending"), used(100, 60, 40)) == {
        ("finetune_gpu_seconds_total", "team-a"): 100,
        ("finetune_gpu_seconds_lost_total", "team-a"): 40,
    }


def test_that_an_end_is_told_in_vain_has_a_series_before_it_happens_so_that_prometheus_sees_it_rise() -> None:
    pending = status("Failed", notifications=[{"target": "ci"}])
    in_vain = status("Failed", notifications=[{"target": "ci", "state": "GivenUp", "attempts": 34}])
    series = ("finetune_notifications_total", "team-vain", "given_up")

    record("team-vain", START, status("Running"), pending, START)
    before = samples()
    record("team-vain", START, pending, in_vain, START)

    assert series in before
    assert added(before) == {series: 1}
