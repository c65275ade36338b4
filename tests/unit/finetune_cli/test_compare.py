"""Runs are compared."""

import json

import pytest
from tests.unit.finetune.api_server import FakeApi
from tests.unit.finetune_cli.conftest import Run

pytestmark = pytest.mark.usefixtures("kubeconfig")


def test_runs_are_compared_by_what_differs_and_what_came_of_it(run: Run, api_server: FakeApi) -> None:
    for name, rate, accuracy, loss in (("a", 5e-5, "0.58", "1.2"), ("b", 3e-5, "0.61", "1.4")):
        api_server.job(
            name,
            {"task": "text-classification", "training": {"learningRate": rate, "epochs": 3}, "suspend": name == "b"},
            phase="Succeeded",
            metrics=[{"name": "eval_accuracy", "value": accuracy}, {"name": "eval_loss", "value": loss}],
            usage={"gpuSeconds": {"total": 3600}, "podSeconds": 7200, "until": "2026-11-28T10:00:00Z"},
            curves={"training": {"steps": "1 2", "series": [{"name": "loss", "values": "2 1"}]}},
        )

    shown, wire = run("compare", "a", "b").stdout, json.loads(run("compare", "a", "b", "-o", "json").stdout)

    assert wire == {
        "jobs": ["a", "b"],
        "settings": {"training.learningRate": {"a": 5e-5, "b": 3e-5}},
        "metrics": {"eval_accuracy": {"a": 0.58, "b": 0.61}, "eval_loss": {"a": 1.2, "b": 1.4}},
        "cost": {
            "GPU-hours": {"a": 1.0, "b": 1.0},
            "pod-hours": {"a": 2.0, "b": 2.0},
            "steps": {"a": None, "b": None},
            "phase": {"a": "Succeeded", "b": "Succeeded"},
        },
        "curves": {"a": {"loss": [[1, 2.0], [2, 1.0]]}, "b": {"loss": [[1, 2.0], [2, 1.0]]}},
    }
    rows = [line.split() for line in shown.splitlines()]
    assert ["eval_accuracy", "0.58", "0.61", "★"] in rows
    assert ["eval_loss", "1.2", "★", "1.4"] in rows
    assert shown.splitlines()[-1].split() == ["loss", "2", "█▁", "1", "2", "█▁", "1"]
