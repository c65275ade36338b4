"""What pods report is written in turn: a job not too often, all jobs not too many a second, and a new phase at once."""

from heapq import heappop, heappush
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import UID, finetunejob, received

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.numbers import TURNS_A_REPORT, Numbers
from finetune_operator.job.finetunejob import Key
from finetune_operator.reports.schedule import Schedule


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def report(sequence: int, stage: str = "Training") -> Any:
    return received({"report": {"sequence": sequence, "stage": stage}})


def test_the_numbers_of_a_job_wait_until_its_interval_is_over() -> None:
    clock = Clock()
    numbers = Numbers(per_second=10, interval=2, clock=clock)

    waits = [numbers.wait("never", None), numbers.wait("just-now", 999.5)]
    clock.now += 1.5
    later = [numbers.wait("just-now", 999.5)]
    numbers.done("just-now")

    assert (waits, later) == ([0.0, 1.5], [0.0])
    assert numbers.wait("just-now", clock.now) == 2.0


def test_the_numbers_of_a_thousand_jobs_are_written_evenly() -> None:
    numbers = Numbers(per_second=80, interval=2, clock=Clock())

    waits = [numbers.wait(str(job), None) for job in range(1000)]

    assert [round(wait, 3) for wait in (waits[0], waits[1], waits[-1])] == [0.0, 0.013, 12.488]


def oldest_numbers(jobs: int, turns_a_report: float) -> float:
    """How old the numbers in a status become, in seconds, once a crowd that began to report at the same moment has done so for a minute."""
    clock, oldest = Clock(), 0.0
    schedule = Schedule(per_second=70, interval=2, clock=clock)
    numbers = Numbers(per_second=70 * turns_a_report, interval=2, clock=clock)
    reported: dict[str, float] = {}
    held: dict[str, float] = {}
    written: dict[str, float] = {}
    waiting: set[str] = set()
    events = [(clock.now, "report", f"job-{number}") for number in range(jobs)]
    while events[0][0] < 1120:
        clock.now, kind, job = heappop(events)
        if kind == "report":
            reported[job] = clock.now
            heappush(events, (clock.now + schedule.next_report(job), "report", job))
            if job not in waiting:
                waiting.add(job)
                heappush(events, (clock.now + numbers.wait(job, written.get(job)), "write", job))
        else:
            oldest = max(oldest, clock.now - held.get(job, clock.now)) if clock.now > 1060 else 0.0
            waiting.discard(job)
            numbers.done(job)
            written[job], held[job] = clock.now, reported[job]
    return oldest


@pytest.mark.thorough
def test_the_numbers_of_a_thousand_jobs_are_hardly_older_than_their_turn_to_report() -> None:
    assert oldest_numbers(1000, TURNS_A_REPORT) < 15.0
    assert oldest_numbers(1000, turns_a_report=1.0) > 20.0


def test_a_new_phase_is_looked_at_at_once_and_numbers_in_their_turn() -> None:
    at_once: list[Key] = []
    in_turn: list[Key] = []
    known = FineTuneJobs(at_once.append, on_numbers=in_turn.append)
    known.update(finetunejob())
    key = known.key_of_uid(UID)
    at_once.clear()

    for each in (report(1, "Preparing"), report(2, "Preparing"), report(3), report(4), report(4)):
        known.take_report(each)

    assert (at_once, in_turn) == ([key, key], [key, key])
