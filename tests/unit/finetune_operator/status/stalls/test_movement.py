"""A training that does not move is said half way to its end, and what may take as long as it takes never is."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import (
    at,
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
from tests.unit.finetune_operator.status.statuses import REPORT, compute

from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.observation import Hearing
from finetune_operator.status.announcements.job_event import job_event
from finetune_operator.status.change import compare
from finetune_operator.status.compute import compute as computed

STILL = (
    f"no step since {stamp(50)}; if none is done by {stamp(170)} the attempt ends, and a new one goes on from the newest "
    "checkpoint, if there is one"
)


def report(step: int = 140, stage: str = "Training", deadline: int | None = 120) -> dict[str, Any]:
    progress = {**REPORT["progress"], "step": step, **({"deadlineSeconds": deadline} if deadline else {})}
    return {"report": {**REPORT, "stage": stage, "progress": progress}}


def seen(body: dict[str, Any], before: dict[str, Any] | None, now: int, came: int) -> dict[str, Any]:
    observed = observation(job(), pod(state=running()), report=received(body, 1, came))
    return compute(parsed(before), observed, now)


def test_a_training_without_a_step_for_half_of_its_deadline_says_so_until_the_next_one() -> None:
    moving = seen(report(), None, 60, came=50)
    same = seen(report(), moving, 109, came=100)
    still = seen(report(), same, 110, came=100)
    later = seen(report(), still, 150, came=140)
    again = seen(report(141), later, 151, came=151)

    reasons = [status["conditions"][0]["reason"] for status in (moving, same, still, later, again)]
    assert reasons == ["Training", "Training", "NotMoving", "NotMoving", "Training"]
    assert still["message"].endswith("; " + STILL)
    assert still["conditions"][0]["message"] == still["message"] == later["message"]
    assert (still["progress"]["lastProgressTime"], again["progress"]["lastProgressTime"]) == (stamp(50), stamp(151))


def test_no_end_is_named_that_lies_in_the_past(  # as after a freeze of the pod, which its first process does not count
) -> None:
    moving = seen(report(), None, 60, came=50)
    still = seen(report(), moving, 169, came=160)
    frozen = seen(report(), still, 170, came=160)
    later = seen(report(), frozen, 900, came=890)
    again = seen(report(141), later, 901, came=901)

    assert still["message"].endswith("; " + STILL)
    assert frozen["message"].endswith(
        f"; no step since {stamp(50)}, and the first process of its pod, which ends the attempt after 120 s without one, has not: it does not "
        "count the time in which the pod was frozen as a whole, and does nothing where it is stopped itself. The operator ends the "
        "attempt once reports have said so for 45 min more without a pause"
    )
    assert frozen["conditions"][0]["message"] == frozen["message"] == later["message"]
    assert [each["conditions"][0]["reason"] for each in (frozen, later, again)] == [
        "NotMoving",
        "NotMoving",
        "Training",
    ]


def test_that_is_looked_at_when_the_named_end_is_over() -> None:
    observed = observation(job(), pod(state=running()), report=received(report(), 1, 50))
    still = seen(report(), seen(report(), None, 60, came=50), 115, came=100)

    assert computed(parsed(still), observed, at(120)).again == 50


def test_what_happened_while_the_operator_was_away_is_not_taken_for_silence() -> None:
    """Steps were done that nobody has told it of yet."""
    moving = seen(report(), None, 60, came=50)
    still = seen(report(), moving, 115, came=100)

    def restarted(before: dict[str, Any]) -> str:
        observed = observation(job(), pod(state=running()), hearing=Hearing(at(1000)))
        return str(compute(parsed(before), observed, 1010)["conditions"][0]["reason"])

    assert (restarted(moving), restarted(still)) == ("Training", "NotMoving")


def test_of_the_last_attempt_it_is_said_that_none_follows() -> None:
    policy = {"runPolicy": {"backoffLimit": 1}}

    def told(*former: dict[str, Any]) -> str:
        newest = pod(len(former) + 1, state=running())
        observed = observation(job(), *former, newest, report=received(report(), len(former) + 1, 50))
        moving = compute(parsed(**policy), observed, 60)
        message: str = compute(parsed(moving, **policy), observed, 110)["message"]
        return message

    first, last, after_a_disruption = (
        told(), told(pod(1, state=terminated(1))), told(pod(1, state=terminated(143)))
    )  # fmt: skip

    assert first.endswith("the attempt ends, and a new one goes on from the newest checkpoint, if there is one")
    assert after_a_disruption.endswith(
        "the attempt ends, and a new one goes on from the newest checkpoint, if there is one"
    )
    assert last.endswith(f"if none is done by {stamp(170)} the job fails: no attempt is left (runPolicy.backoffLimit)")


def test_it_is_announced_once() -> None:
    moving = seen(report(), None, 60, came=50)
    still, later = seen(report(), moving, 115, came=100), seen(report(), moving, 145, came=100)

    events = [
        job_event(parse_finetunejob(finetunejob(before)), parse_finetunejob(finetunejob(after)).status, at(120))
        for before, after in ((moving, still), (still, later))
    ]

    assert compare(parsed(moving).status, parsed(still).status).urgent
    assert events[1] is None
    assert events[0] is not None
    assert (events[0]["type"], events[0]["reason"]) == ("Warning", "NotMoving")
    assert STILL in events[0]["message"]


@pytest.mark.parametrize(
    "body", [report(stage="Saving"), report(stage="Evaluating"), report(stage="Exporting"), report(deadline=None)]
)
def test_what_may_take_as_long_as_it_takes_is_no_silence(body: dict[str, Any]) -> None:
    moving = seen(report(), None, 60, came=50)
    busy = seen(body, moving, 1000, came=70)
    back = seen(report(), busy, 1010, came=1005)

    assert [status["conditions"][0]["reason"] for status in (busy, back)] == [body["report"]["stage"], "Training"]
    assert ("lastProgressTime" in busy["progress"], back["progress"]["lastProgressTime"]) == (False, stamp(1005))


def test_a_trainer_whose_reports_stop_is_said_too() -> None:
    moving = seen(report(), None, 60, came=50)
    observed = observation(job(), pod(state=running()))

    assert compute(parsed(moving), observed, 115)["conditions"][0]["reason"] == "NotMoving"


@pytest.mark.parametrize(("asked", "reason"), [(None, "Training"), (100, "NotMoving")])
def test_stock_transformers_reports_with_each_step_so_that_a_deadline_of_the_spec_holds_for_it(
    asked: int | None, reason: str
) -> None:
    policy = {"runPolicy": {"progressDeadlineSeconds": asked}} if asked else {}
    body = {"trainerStatus": {"progressPercentage": 42}}
    observed = observation(job(), pod(state=running()), report=received(body, 1, 50))

    assert compute(parsed(**policy), observed, 110)["conditions"][0]["reason"] == reason
