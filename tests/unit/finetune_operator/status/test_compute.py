"""Whole statuses, from what is observed and the time."""

import json
from typing import Any

from tests.unit.finetune_operator.samples import (
    at,
    finetunejob,
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

from finetune_api.report import TrainerState
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.status.change import compare
from finetune_operator.status.compute import compute as computed


def test_a_job_that_trains_shows_its_numbers() -> None:
    observed = observation(job(), pod(state=running()), report=received({"report": REPORT}))

    status = compute(parsed(), observed)

    assert status == {
        "observedGeneration": 1,
        "phase": "Running",
        "message": "epoch 1.1 of 3, loss 1.20, accuracy 0.58, about 5 min left; since step 3: batches of 4 rows for 8",
        "conditions": [
            condition("Running", "True", "Training"),
            condition("Suspended", "False", "Running"),
            condition("Complete", "False", "Running"),
            condition("Failed", "False", "Running"),
            condition("Ready", "False", "Training"),
            condition("Reconciling", "True", "Training"),
            condition("Stalled", "False", "Running"),
        ],
        "startTime": stamp(1),
        "progress": {**REPORT["progress"], "lastReportTime": stamp(50)},
        "metrics": REPORT["metrics"],
        "evaluations": REPORT["evaluations"],
        "curves": REPORT["curves"],
        "checkpoints": [{**REPORT["checkpoints"][0], "metrics": []}],
        "latestCheckpoint": {"step": 125, "uri": "pvc://yelp-0f9be1d4/checkpoints/step-000125"},
        "bestCheckpoint": REPORT["bestCheckpoint"],
        "attempts": [
            {
                "number": 1,
                "pod": "yelp-1",
                "node": "n1",
                "startTime": stamp(12),
                "trainingStartTime": stamp(60),
                "podSeconds": 43,
                "resumedFromStep": 0,
                "lastStep": 140,
            }
        ],
        "adjustments": REPORT["adjustments"],
        "run": {"number": 1, "output": "pvc://yelp-0f9be1d4"},
        "provenance": {**REPORT["provenance"], "image": "trainer:1"},
        "usage": {
            "gpuSeconds": {"total": 43, "useful": 0, "lost": 43},
            "podSeconds": 43,
            "preflightSeconds": 0,
            "queuedSeconds": 60,
            "startupSeconds": 0,
            "month": {"month": "2026-11", "gpuSeconds": 43},
            "until": stamp(60),
        },
    }


def test_each_field_that_the_trainer_reports_has_its_place_in_the_status() -> None:
    preflight = {"trainRows": 9, "steps": 375, "batchSize": 8, "parameters": 7, "trainedParameters": 7}
    warnings = [{"reason": "EmptyTexts", "message": "row 3"}]
    tracking = [{"tracker": "tensorboard", "url": "pvc://yelp-0f9be1d4/tensorboard"}]
    news = {"model": FINAL["model"], "preflight": preflight, "warnings": warnings, "tracking": tracking}
    report = {**REPORT, **news}
    fields = {field.alias or name for name, field in TrainerState.model_fields.items()} - {"resumedFromStep", "log"}
    assert report.keys() >= fields

    status = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": report})))

    assert status.keys() >= fields


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp(60),
        "observedGeneration": 1,
    }


def test_the_end_is_reported_by_the_final_report_and_by_the_job() -> None:
    before = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))
    end = job(end=("Complete", "CompletionsReached", ""))
    observed = observation(end, pod(state=terminated(0, "Completed", json.dumps(FINAL))))

    status = compute(parsed(before), observed, 101)

    assert line(status) == ("Succeeded", "Succeeded", "finished after 375 steps, loss 0.52, accuracy 0.91")
    assert conditions(status) == {"Complete": "Succeeded", "Ready": "Succeeded"}
    assert status["completionTime"] == stamp(100)
    assert status["progress"] == {
        "step": 375,
        "totalSteps": 375,
        "epoch": "3.0",
        "percent": 100,
        "lastReportTime": stamp(50),
    }
    assert [each["step"] for each in status["evaluations"]] == [125, 375]
    assert [each["step"] for each in status["checkpoints"]] == [125, 375]
    assert status["bestCheckpoint"] == REPORT["bestCheckpoint"]
    assert status["adjustments"] == REPORT["adjustments"]
    assert status["model"] == FINAL["model"]
    assert status["attempts"] == [
        {
            "number": 1,
            "pod": "yelp-1",
            "node": "n1",
            "startTime": stamp(12),
            "trainingStartTime": stamp(60),
            "endTime": stamp(90),
            "podSeconds": 78,
            "exitCode": 0,
            "reason": "Completed",
            "resumedFromStep": 0,
            "lastStep": 375,
        }
    ]


def test_what_has_ended_stays_as_it_is_whatever_becomes_of_its_children() -> None:
    ended = compute(parsed(), observation(job(end=("Complete", "", "")), pod(state=terminated(0))), 101)

    assert compute(parsed(ended), observation(), 500) == ended
    assert compute(parsed(ended), observation(job(), pod(2, state=running())), 500) == ended


def test_a_change_of_the_spec_after_the_end_is_only_taken_note_of() -> None:
    ended = compute(parsed(), observation(job(end=("Complete", "", "")), pod(state=terminated(0))), 101)
    edited = finetunejob(ended, suspend=True)
    edited["metadata"]["generation"] = 2

    assert compute(parse_finetunejob(edited), observation(), 500) == {**ended, "observedGeneration": 2}


def test_before_the_first_step_there_are_no_numbers_to_show() -> None:
    begun = {"report": {"sequence": 2, "stage": "Training", "progress": {"step": 0, "totalSteps": 375, "epoch": "0.0"}}}

    status = compute(parsed(), observation(job(), pod(state=running()), report=received(begun)))

    assert line(status) == ("Running", "Training", "the first step is under way")


def test_after_a_restart_of_the_operator_the_status_goes_on_where_it_was() -> None:
    observed = observation(job(), pod(state=running()), report=received({"report": REPORT}))
    before = compute(parsed(), observed)

    after = compute(parsed(before), observation(job(), pod(state=running())), 300)

    assert after == before


def test_a_status_that_somebody_spoiled_is_read_as_far_as_it_goes() -> None:
    spoiled = {
        "phase": "Dancing",
        "conditions": "none",
        "attempts": [{"number": 1, "pod": "yelp-1"}],
        "progress": {"step": "many"},
        "checkpoints": [{"step": 5}],
        "metrics": None,
    }

    status = compute(parsed(spoiled), observation(job(), pod(2, state=running())))

    assert status["phase"] == "Preparing"
    assert [(each["number"], each["pod"]) for each in status["attempts"]] == [(1, "yelp-1"), (2, "yelp-2")]


def test_nothing_changes_where_nothing_happened() -> None:
    observed = observation(job(), pod(state=running()), report=received({"report": REPORT}))
    given = parsed(compute(parsed(), observed, 60))

    change = compare(given.status, computed(given, observed, at(350)).status)

    assert not change.any


def test_what_a_report_brings_can_wait_and_a_clock_even_longer() -> None:
    observed = observation(job(), pod(state=running()), report=received({"report": REPORT}))
    given = parsed(compute(parsed(), observed, 60))
    again = observation(job(), pod(state=running()), report=received({"report": REPORT}, seconds=70))
    further = {**REPORT, "progress": {**REPORT["progress"], "step": 141}}
    numbers = observation(job(), pod(state=running()), report=received({"report": further}, seconds=70))
    reported = {**REPORT, "stage": "Evaluating", "checkpoints": [], "resumedFromStep": 9, "evaluations": []}
    others = observation(job(), pod(state=running()), report=received({"report": reported}, seconds=70))
    stopped = observation(job(), pod(state=terminated(143)))

    changes = [
        compare(given.status, computed(given, each, at(71)).status) for each in (again, numbers, others, stopped)
    ]

    assert [(each.any, each.urgent, each.only_clock) for each in changes] == [
        (True, False, True),
        (True, False, False),
        (True, False, False),
        (True, True, False),
    ]
