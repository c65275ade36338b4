"""What pods report is written in turn: a job not too often, all jobs not too many a second, and a new phase at once."""

from typing import Any

from tests.unit.finetune_operator.samples import UID, finetunejob, received

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.numbers import Numbers
from finetune_operator.job.finetunejob import Key


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
