"""A status points to no place but those below its own job's output, whatever a pod reports."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.finetune_operator.samples import (
    at,
    finetunejob,
    job,
    observation,
    parsed,
    pod,
    received,
    running,
    terminated,
)

from finetune_api.printable import printable
from finetune_api.status import TrackedRun
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.status.change import to_manifest
from finetune_operator.status.compute import compute
from finetune_operator.status.reported.own_places import Places, is_below

CLAIM = "pvc://yelp-0f9be1d4"
OUTSIDE = [
    "s3://attacker/model",
    "pvc://yelp-0f9be1d40/model",
    "pvc://yelp-0f9be1d4.other/model",
    "pvc://other/yelp-0f9be1d4",
    "pvc:/yelp-0f9be1d4/model",
    "PVC://yelp-0f9be1d4/model",
    "pvc://yelp-0f9be1d4/../other/model",
    "pvc://yelp-0f9be1d4/model/..",
    "pvc://yelp-0f9be1d4/./model",
    "pvc://yelp-0f9be1d4/%2e%2e/other",
    "pvc://yelp-0f9be1d4/%252e%252e/other",
    "pvc://yelp-0f9be1d4//other",
    "pvc://yelp-0f9be1d4/model/",
    "pvc://yelp-0f9be1d4/model?x=s3://attacker",
    "pvc://yelp-0f9be1d4/model#x",
    "pvc://yelp-0f9be1d4\\model",
    "pvc://yelp-0f9be1d4@attacker/model",
    "pvc://yelp-0f9be1d4/mod\u202eel",
    "pvc://yelp-0f9be1d4/mod\nel",
    "pvc://yelp-0f9be1d4/model\n",
    "",
    "/",
]


@pytest.mark.parametrize(
    ("output", "uri"),
    [
        (CLAIM, f"{CLAIM}/model"),
        (CLAIM, f"{CLAIM}/checkpoints/step-000125"),
        ("pvc://c/a%20b/", "pvc://c/a%20b/model"),
        ("s3://bucket/team-a/yelp", "s3://bucket/team-a/yelp/model"),
        ("hf://org/name", "hf://org/name"),
        ("hf://org/name", "hf://org/name/checkpoints/step-000125"),
    ],
)
def test_what_the_trainer_makes_is_below_its_output(output: str, uri: str) -> None:
    assert is_below(uri, output)


@pytest.mark.parametrize("uri", OUTSIDE)
def test_a_place_elsewhere_is_left_out_of_the_status_with_a_warning(uri: str) -> None:
    ours = f"{CLAIM}/checkpoints/step-000001"
    report = {
        "sequence": 1,
        "stage": "Training",
        "checkpoints": [{"step": 1, "uri": ours}, {"step": 2, "uri": uri}],
        "bestCheckpoint": {"step": 2, "uri": uri, "metric": "eval_loss", "value": "0.1"},
        "model": {"uri": uri},
    }

    status = written(report=report)

    assert [each["uri"] for each in status["checkpoints"]] == [ours]
    assert status["latestCheckpoint"] == {"step": 1, "uri": ours}
    assert status.keys() & {"bestCheckpoint", "model"} == set()
    (warning,) = status["warnings"]
    assert warning["reason"] == "OutsideOutput"
    assert warning["message"].isprintable()


def test_a_final_report_is_held_to_the_same() -> None:
    final = {"exitCode": 0, "model": {"uri": "s3://attacker/model"}, "checkpoints": [{"step": 9, "uri": f"{CLAIM}/c"}]}

    status = written(final=final)

    assert (status["phase"], "model" in status) == ("Succeeded", False)
    assert [each["step"] for each in status["checkpoints"]] == [9]
    assert status["warnings"] == [
        {
            "reason": "OutsideOutput",
            "message": f"the trainer reported s3://attacker/model, which is not below the output {CLAIM}",
        }
    ]


_MLFLOW = "https://mlflow.corp/base"
_TRACKIO = "https://team-a-runs.hf.space"
_PLACES = Places(CLAIM, (_MLFLOW, _TRACKIO))


@pytest.mark.parametrize(
    "url",
    [None, f"{_MLFLOW}/#/experiments/1/runs/0f9b", f"{_TRACKIO}/?project=reviews", f"{CLAIM}/tensorboard"],
)
def test_a_run_is_tracked_where_the_job_says(url: str | None) -> None:
    assert _PLACES.has(TrackedRun(tracker="mlflow", url=url))


@pytest.mark.parametrize(
    "url",
    [
        "https://attacker/#/experiments/1",
        "https://mlflow.corp/base.attacker/#/experiments/1",
        "https://mlflow.corp/based/runs/1",
        f"{_MLFLOW}/../login",
        f"{_MLFLOW}/#/%2e%2e/x",
        f"{_MLFLOW}/?next=https://attacker",
        f"{_MLFLOW}/@attacker",
        f"{_TRACKIO}/?project=a&next=https://attacker",
        f"{_TRACKIO}/x?project=a",
        *OUTSIDE[:-2],
    ],
)
def test_a_run_that_is_said_to_be_tracked_elsewhere_is_shown_without_its_place(url: str) -> None:
    assert not _PLACES.has(TrackedRun(tracker="mlflow", url=printable(url)))


def test_a_trackers_place_elsewhere_is_left_out_with_a_warning_and_its_message_stays() -> None:
    tracking = [{"tracker": "mlflow", "url": "https://attacker/x", "message": "m"}]

    status = written(report={"sequence": 1, "stage": "Training", "tracking": tracking})

    assert status["tracking"] == [{"tracker": "mlflow", "message": "m"}]
    assert [each["reason"] for each in status["warnings"]] == ["OutsideOutput"]


def test_the_first_place_elsewhere_stays_named() -> None:
    before = written(report={"sequence": 1, "stage": "Training", "model": {"uri": "s3://first/x"}})

    after = written(before, report={"sequence": 2, "stage": "Training", "model": {"uri": "s3://second/x"}})

    assert after["warnings"] == before["warnings"]


def test_neither_the_time_nor_the_image_is_for_the_trainer_to_say() -> None:
    report = {
        "sequence": 1,
        "stage": "Training",
        "progress": {"step": 3, "lastReportTime": "8000-01-01T00:00:00Z"},
        "provenance": {"image": "attacker/image", "seed": 7},
    }

    status = written(report=report)

    assert status["progress"] == {"step": 3, "percent": 0, "lastReportTime": "2026-11-20T12:00:50Z"}
    assert status["provenance"] == {"image": "trainer:1", "seed": 7}


@given(st.text(max_size=30))
def test_nothing_below_the_output_climbs_out_of_it(tail: str) -> None:
    if is_below(CLAIM + tail, CLAIM):
        assert ".." not in tail.split("/")
        assert not set(tail) & set("%?#\\@: ")
        assert tail.isascii()


def written(
    status: Any = None, *, report: dict[str, Any] | None = None, final: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The status after what was reported."""
    if final is not None:
        ended = pod(state=terminated(final["exitCode"], "Completed", json.dumps(final)))
        observed = observation(job(end=("Complete", "", "")), ended)
    else:
        observed = observation(job(), pod(state=running()), report=received({"report": report or {}}))
    given_job = parsed(status) if status is not None else parse_finetunejob(finetunejob())
    return to_manifest(compute(given_job, observed, at(60)).status)
