"""What the pods of a job reported, put together."""

import json
from dataclasses import replace

from tests.unit.finetune_operator.samples import (
    job,
    line,
    observation,
    parsed,
    pod,
    received,
    running,
    stamp,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import FINAL, REPORT, compute, conditions


def test_a_full_progress_bar_is_not_an_end() -> None:
    full = {"trainerStatus": {"progressPercentage": 100, "metrics": [{"name": "loss", "value": "0.5"}]}}

    status = compute(parsed(), observation(job(), pod(state=running()), report=received(full)))

    assert line(status) == ("Running", "Training", "100 % done, loss 0.50")
    assert status["metrics"] == [{"name": "loss", "value": "0.5"}]
    assert conditions(status) == {"Running": "Training", "Reconciling": "Training"}


def test_stock_transformers_reports_give_progress_and_metrics() -> None:
    body = {
        "trainerStatus": {
            "progressPercentage": 42,
            "estimatedRemainingSeconds": 40,
            "metrics": [{"name": "loss", "value": "0.25"}, {"name": "eval_accuracy", "value": "0.875"}],
            "lastUpdatedTime": stamp(49),
        }
    }

    status = compute(parsed(), observation(job(), pod(state=running()), report=received(body)))

    assert line(status) == ("Running", "Training", "42 % done, loss 0.25, accuracy 0.88, about 40 s left")
    assert status["progress"] == {"step": 0, "percent": 42, "etaSeconds": 40, "lastReportTime": stamp(50)}


def test_of_a_final_report_that_can_be_read_in_part_the_rest_is_a_warning() -> None:
    odd = {**FINAL, "checkpoints": [{"step": 375, "uri": "pvc://yelp-0f9be1d4/x", "time": "9999-12-31T23:59:59-14:00"}]}
    ended = pod(state=terminated(0, "Completed", json.dumps(odd)))

    status = compute(parsed(), observation(job(end=("Complete", "", "")), ended), 120)

    assert (status["phase"], status["model"]) == ("Succeeded", {"uri": "pvc://yelp-0f9be1d4/model", "sizeBytes": 9})
    assert "checkpoints" not in status
    message = (
        "what the trainer reported could not be read and was left out: pod yelp-1: checkpoints of its final report"
    )
    assert status["warnings"] == [{"reason": "ReportNotUnderstood", "message": message}]


def test_a_report_that_could_not_be_read_is_reported_once_beside_the_trainer_s_warnings() -> None:
    told = {**REPORT, "warnings": [{"reason": "EmptyTexts", "message": f"{n} rows are empty"} for n in range(16)]}
    observed = observation(
        job(), pod(state=running()), report=received({"report": told}), unread="report.stage: odd\x07"
    )

    first = compute(parsed(), observed)
    again = compute(parsed(first), replace(observed, unread="report.step: odder"), 70)

    message = "what the trainer reported could not be read and was left out: report.stage: odd�"
    assert len(first["warnings"]) == 16
    assert first["warnings"][-1] == {"reason": "ReportNotUnderstood", "message": message}
    assert again["warnings"] == first["warnings"]


def test_a_new_attempt_keeps_what_is_known_until_it_knows_more() -> None:
    first = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))
    stopped = pod(state=terminated(143))
    prepares = {"sequence": 1, "stage": "Preparing", "message": "tokenizing 1000 rows", "progress": {"step": 0}}
    observed = observation(job(), stopped, pod(2, state=running(95)), report=received({"report": prepares}, 2, 97))

    second = compute(parsed(first), observed, 98)

    assert line(second) == ("Preparing", "Preparing", "preparing: tokenizing 1000 rows")
    assert second["progress"]["step"] == 140
    assert second["checkpoints"] == first["checkpoints"]
    assert [(each["number"], each["pod"], each.get("exitCode")) for each in second["attempts"]] == [
        (1, "yelp-1", 143),
        (2, "yelp-2", None),
    ]


def test_a_resumed_attempt_may_begin_before_the_step_that_was_reached() -> None:
    first = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))
    resumed = {**REPORT, "sequence": 1, "progress": {"step": 126, "percent": 33}, "resumedFromStep": 125}
    pods = (pod(state=terminated(137)), pod(2, state=running(95)))

    status = compute(parsed(first), observation(job(), *pods, report=received({"report": resumed}, 2, 99)), 99)

    assert status["progress"] == {"step": 126, "percent": 33, "lastReportTime": stamp(99)}
    assert status["attempts"][1]["resumedFromStep"] == 125


def test_a_report_of_an_older_attempt_is_ignored() -> None:
    pods = (pod(state=terminated(137)), pod(2, state=running(95)))

    status = compute(parsed(), observation(job(), *pods, report=received({"report": REPORT}, 1)), 99)

    assert "progress" not in status
    assert line(status) == ("Preparing", "Preparing", "the pod runs; waiting for the trainer's first report")


def test_the_final_report_of_an_ended_attempt_is_taken_in_once() -> None:
    word = json.dumps({**FINAL, "exitCode": 143, "progress": {"step": 150}})
    pods = (pod(state=terminated(143, message=word)), pod(2, state=running(95)))
    first = compute(parsed(), observation(job(), *pods), 96)
    newer = {**REPORT, "progress": {"step": 200}}
    second = compute(parsed(first), observation(job(), *pods, report=received({"report": newer}, 2, 97)), 97)

    third = compute(parsed(second), observation(job(), *pods), 98)

    assert [each["progress"]["step"] for each in (first, second, third)] == [150, 200, 200]
