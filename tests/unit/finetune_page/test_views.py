"""What the browser is sent of a job."""

import json

from finetune.snapshot import Snapshot, read_snapshot
from finetune_api.base import JsonObject
from finetune_page.views import SPARK_POINTS, comparison_of, curves, detail, manifest, row

DIGEST = "sha256:" + "0" * 64
CURVES = {
    "stepsPerEpoch": "2.5",
    "training": {
        "steps": "1 2 3",
        "series": [{"name": "loss", "values": "1.5 nan 1.25"}, {"name": "grad_norm", "values": "2 3 4"}],
    },
    "evaluation": {"steps": "2", "series": [{"name": "eval_accuracy", "values": "0.5"}]},
}


def job(name: str = "stars", spec: JsonObject | None = None, **status: object) -> Snapshot:
    metadata = {
        "name": name,
        "namespace": "team-a",
        "uid": f"uid-of-{name}",
        "creationTimestamp": "2026-11-01T00:00:00Z",
        "resourceVersion": "7",
        "labels": {"team": "a"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "kept"},
    }
    return read_snapshot({"metadata": metadata, "spec": spec or {"task": "text-classification"}, "status": status})


def test_a_row_of_a_job_that_no_operator_has_seen() -> None:
    assert row(job()) == {
        "namespace": "team-a",
        "name": "stars",
        "uid": "uid-of-stars",
        "phase": "Pending",
        "deleting": False,
        "created": "2026-11-01T00:00:00Z",
        "urgent": False,
        "percent": None,
        "etaSeconds": None,
        "loss": [],
        "best": "–",
        "why": "no operator has seen it yet",
        "gpuSeconds": 0,
        "gpus": 1,
        "budget": None,
        "month": None,
    }


def test_a_row_has_the_gpus_of_all_nodes_and_the_budget_that_the_job_was_taken_by() -> None:
    settings = json.dumps({"limits": {"gpuSecondsPerNamespace": 7200}})
    spec = {"task": "text-classification", "resources": {"gpus": 8, "nodes": 2}}
    profile = {"name": "gpu", "digest": DIGEST, "settings": settings}
    budget = {"profile": "gpu", "allowedGpuSeconds": 3600, "usedGpuSeconds": 4000}
    waiting = {"reason": "BudgetUsedUp", "since": "2026-11-01T00:00:00Z", "budget": budget}

    taken, held = row(job("stars", spec, profile=profile)), row(job(phase="Queued", waiting=waiting, profile=profile))
    strange = row(job("stars", {"resources": {"gpus": "8"}}, profile={**profile, "settings": "[]"}))

    assert (taken["gpus"], taken["budget"]) == (16, {"profile": "gpu", "allowed": 7200})
    assert held["budget"] == {"profile": "gpu", "allowed": 3600, "used": 4000}
    assert (strange["gpus"], strange["budget"]) == (0, {"profile": "gpu", "allowed": None})


def test_a_row_of_a_job_that_failed() -> None:
    failed = job(
        phase="Failed",
        progress={"step": 5, "percent": 50, "etaSeconds": 9},
        failure={"reason": "ColumnNotFound", "message": "no column 'tag'"},
        usage={
            "gpuSeconds": {"total": 7200},
            "until": "2026-11-01T00:00:00Z",
            "month": {"month": "2026-11", "gpuSeconds": 7200},
        },
        curves=CURVES,
    )

    found = row(failed)

    assert {
        name: found[name] for name in ("phase", "urgent", "percent", "etaSeconds", "loss", "why", "gpuSeconds", "month")
    } == {
        "phase": "Failed",
        "urgent": True,
        "percent": 50,
        "etaSeconds": None,
        "loss": [1.5, 1.25],
        "why": "ColumnNotFound: no column 'tag'",
        "gpuSeconds": 7200,
        "month": {"month": "2026-11", "gpuSeconds": 7200},
    }


def test_a_step_at_which_nothing_was_measured_is_null() -> None:
    assert curves(job(phase="Running", curves=CURVES)) == {
        "stepsPerEpoch": 2.5,
        "training": {"steps": [1, 2, 3], "series": {"loss": [1.5, None, 1.25], "grad_norm": [2, 3, 4]}},
        "evaluation": {"steps": [2], "series": {"eval_accuracy": [0.5]}},
    }


def test_the_line_of_a_row_has_the_first_and_the_last_of_many_points() -> None:
    steps = range(1, 101)
    many = {
        "training": {
            "steps": " ".join(map(str, steps)),
            "series": [{"name": "loss", "values": " ".join(map(str, steps))}],
        }
    }

    points = row(job(phase="Running", curves=many))["loss"]

    assert (len(points), points[0], points[-1]) == (SPARK_POINTS, 1, 100)


def test_the_manifest_applies_the_same_again_and_asks_for_no_run() -> None:
    text = manifest(job(spec={"task": "text-classification", "runToken": "of-then", "seed": 3}))

    assert text.splitlines() == [
        "apiVersion: finetune.dev/v1alpha1",
        "kind: FineTuneJob",
        "metadata:",
        "  annotations:",
        "    note: kept",
        "  labels:",
        "    team: a",
        "  name: stars",
        "  namespace: team-a",
        "spec:",
        "  seed: 3",
        "  task: text-classification",
    ]


def test_the_proof_of_a_profile_stays_with_the_operator() -> None:
    profile = {"name": "open", "digest": "sha256:" + "a" * 64, "settings": "{}", "proof": "sha256:" + "b" * 64}

    shown = detail(job(phase="Running", profile=profile))["status"]["profile"]

    assert shown == {name: value for name, value in profile.items() if name != "proof"}


def test_a_comparison_shows_the_settings_that_differ_and_marks_the_best_metric() -> None:
    one, other = (
        job(
            name,
            {"task": "text-classification", "training": {"epochs": epochs}},
            phase="Succeeded",
            metrics=[{"name": "eval_accuracy", "value": value}],
        )
        for name, epochs, value in (("one", 1, "0.5"), ("other", 2, "0.75"))
    )

    found = comparison_of([one, other])

    assert [run["row"]["name"] for run in found["runs"]] == ["one", "other"]
    assert found["settings"] == [{"name": "training.epochs", "values": [1, 2], "best": []}]
    assert found["metrics"] == [{"name": "eval_accuracy", "values": [0.5, 0.75], "best": [1]}]
