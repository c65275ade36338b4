"""The time of what is limited is that of one part: what has many of them may take as long as they do."""

import threading

from finetune_api.reasons import Reason
from finetune_trainer.base import time_limit
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.time_limit import Limit, came_on, end_late_work_by, ended_after

ENDLESS = model_error(Reason.MODEL_UNREADABLE, "it comes to no end")


def test_the_time_begins_anew_with_each_part() -> None:
    now = [100.0]
    limit = Limit(10, clock=lambda: now[0])

    now[0] = 109
    assert limit.left == 1
    limit.begin()
    assert limit.left == 10
    now[0] = 120
    assert limit.left == 0


def test_a_part_that_is_done_keeps_the_rest_from_its_end_and_one_that_is_late_ends_it() -> None:
    ended = threading.Event()
    failures: list[TrainerError] = []

    def end(error: TrainerError) -> None:
        failures.append(error)
        ended.set()

    try:
        end_late_work_by(end)
        with ended_after(3600, ENDLESS):
            (limit,) = time_limit._limits
            limit._until -= 3000
            came_on()
            assert limit.left > 1800
        with ended_after(0.01, ENDLESS):
            assert ended.wait(60)
    finally:
        time_limit._ends.clear()

    assert failures == [ENDLESS]
    assert time_limit._limits == []
