"""The curves in the status: each report brings all of them; what was lost is cut off, and nothing else."""

import json
from typing import Any

from tests.unit.finetune_operator.samples import job, observation, parsed, pod, received, running, terminated
from tests.unit.finetune_operator.status.statuses import FINAL, REPORT, compute

from finetune_api.thinning import Point, make_curves


def loss(*steps: int) -> dict[str, Any]:
    """Curves of a loss that was logged at these steps."""
    return make_curves([Point(step, {"loss": 1 + 1 / step}) for step in steps], []).to_wire()


def report(*steps: int, **fields: Any) -> dict[str, Any]:
    progress = {"step": max(steps, default=0), "percent": 1}
    return {"report": {"sequence": 1, "stage": "Training", "progress": progress, "curves": loss(*steps), **fields}}


def told(body: dict[str, Any], before: Any = None, number: int = 1) -> dict[str, Any]:
    sender = pod(number, state=running())
    return compute(parsed(before or {}), observation(job(), sender, report=received(body, sender=sender)))


def ended(before: Any, number: int = 1, **fields: Any) -> dict[str, Any]:
    final = {"exitCode": 143, "resumedFromStep": 0, **fields}
    return compute(
        parsed(before), observation(job(), pod(number, state=terminated(143, "Error", json.dumps(final)))), 120
    )


def steps(status: dict[str, Any]) -> list[int]:
    curve = status.get("curves", {}).get("training", {"steps": ""})
    return [int(each) for each in curve["steps"].split()]


def test_a_report_brings_all_curves() -> None:
    before = told(report(10, 20, 30))

    assert told(report(10, 20, 30, 40), before)["curves"] == loss(10, 20, 30, 40)


def test_a_report_of_a_trainer_of_before_and_one_that_prepares_leave_them() -> None:
    before = told(report(10, 20))

    assert told({"report": {"sequence": 2, "stage": "Training"}}, before)["curves"] == loss(10, 20)
    assert told({"report": {"sequence": 1, "stage": "Preparing"}}, before, 2)["curves"] == loss(10, 20)


def test_an_attempt_that_went_back_cuts_off_what_was_lost() -> None:
    before = told(report(10, 20, 30))

    assert steps(told(report(10, resumedFromStep=10), before, 2)) == [10]
    assert "curves" not in told(report(resumedFromStep=0), before, 2)


def test_the_final_report_adds_the_end_of_the_curves_and_takes_no_point_away() -> None:
    before = told(report(10, 20, 30))

    after = ended(before, curves=loss(10, 50))

    assert steps(after) == [10, 20, 30, 50]


def test_an_operator_that_was_away_while_an_attempt_ran_cuts_off_what_it_took_back() -> None:
    before = ended(told(report(10, 20, 30)), curves=loss(10, 30))

    assert steps(ended(before, 2, resumedFromStep=20, curves=loss(10, 50))) == [10, 20, 50]
    assert steps(ended(before, 2, resumedFromStep=20)) == [10, 20]


def test_a_run_that_went_back_by_itself_since_its_last_report_says_so_in_its_final_one() -> None:
    before = told(report(10, 20, 30))
    smaller = {"step": 21, "reason": "CudaOutOfMemory", "message": "batches of 4 rows for 8"}

    assert steps(ended(before, adjustments=[smaller], curves=loss(10, 40))) == [10, 20, 40]


def test_a_final_report_without_curves_leaves_those_of_its_own_attempt() -> None:
    before = told(report(10, 20))

    assert steps(ended(before)) == [10, 20]


def test_a_job_of_before_without_curves_stays_as_it_is() -> None:
    body = {name: value for name, value in REPORT.items() if name != "curves"}

    status = told({"report": body})

    assert "curves" not in status
    assert "curves" not in ended(status, **{name: value for name, value in FINAL.items() if name != "exitCode"})
