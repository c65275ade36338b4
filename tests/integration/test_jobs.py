"""From `kubectl apply` to metrics and checkpoints in the status, and to a reason and a hint where it fails."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, Space, StandIn, finetunejob, seeded
from tests.integration.test_jobs_preflight import TABLE

from devcluster.cluster import Cluster
from devcluster.testing.api import wait_for
from finetune_api.curves import Curves
from finetune_operator.job.names import preflight_job_name

MISTAKES: dict[str, dict[str, Any]] = {
    "no-such-column": {
        "dataset": {
            "source": "pvc://seed/data",
            "train": {"split": "train"},
            "columns": {"text": "txt"},
        },
        "evaluation": {},
        "output": {"retentionPolicy": "Delete"},
    },
    "no-such-model": {
        "model": {"source": "pvc://seed/modell"},
        "runPolicy": {"ttlSecondsAfterFinished": 1},
    },
    "no-such-argument": {"training": {"arguments": {"warmup_stepz": 3}}},
}

REAL_MISTAKE = "no-such-model"
"""The one that our trainer finds; the trainer's own tests have the others."""


@dataclass(frozen=True)
class Batch:
    """Jobs that were started together."""

    space: Space
    other: Space
    """Another namespace, with a job of the same name."""


@pytest.fixture(scope="module")
def batch(space: Space, finetune_crd: Cluster, stand_in: StandIn) -> Iterator[Batch]:
    mistakes = {
        name: {**spec, **({} if name == REAL_MISTAKE else {"pod": stand_in()})} for name, spec in MISTAKES.items()
    }
    space.apply(finetunejob("good"), *(finetunejob(name, **spec) for name, spec in mistakes.items()))
    with seeded(finetune_crd) as other:
        other.apply(finetunejob("good", pod=stand_in()))
        yield Batch(space, other)


@pytest.mark.slow
def test_a_job_succeeds_and_its_status_reports_it(batch: Batch) -> None:
    status = batch.space.end_of("good")
    true = {condition["type"] for condition in status["conditions"] if condition["status"] == "True"}
    claim = status["model"]["uri"].removesuffix("/model")

    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    assert status["message"].startswith("finished after 64 steps, loss ")
    assert true == {"Complete", "Ready"}
    assert (status["progress"]["step"], status["progress"]["totalSteps"], status["progress"]["percent"]) == (
        64,
        64,
        100,
    )
    assert [evaluation["step"] for evaluation in status["evaluations"]] == [16, 32, 48, 64]
    curves = Curves.model_validate(status["curves"])
    assert curves.training
    assert curves.training.names == ("loss", "learning_rate", "grad_norm")
    assert (curves.steps_per_epoch, curves.training.at[-1]) == ("16", 64)
    assert [step for step, _ in curves.points("eval_accuracy")] == [16, 32, 48, 64]
    shown = '{.status.curves.training.series[?(@.name=="loss")].values}'
    printed = batch.space.kubectl("get", "finetunejob", "good", "-o", f"jsonpath={shown}")
    assert [float(each) for each in printed.split()] == list(curves.training.values("loss"))
    assert status["latestCheckpoint"] == {"step": 64, "uri": f"{claim}/checkpoints/step-000064"}
    assert status["bestCheckpoint"]["metric"] == "eval_accuracy"
    assert float(status["bestCheckpoint"]["value"]) > 0.8
    assert {metric["name"] for metric in status["metrics"]} >= {"loss", "eval_loss", "eval_accuracy"}
    assert all(checkpoint["digest"].startswith("sha256:") for checkpoint in status["checkpoints"])
    assert [(each["number"], each["exitCode"], each["reason"]) for each in status["attempts"]] == [(1, 0, "Completed")]
    assert status["attempts"][0]["log"].startswith(f"{claim}/logs/")
    assert status["attempts"][0]["lastStep"] == 64
    assert status["provenance"]["datasetFingerprint"]
    assert "failure" not in status


@pytest.mark.slow
def test_a_job_reports_what_it_found_out_before_its_first_step(batch: Batch) -> None:
    found = batch.space.end_of("good")["preflight"]

    assert {name: found[name] for name in TABLE} == TABLE
    assert found["device"] == "CPU"
    assert sum(each["rows"] for each in found["classes"]) == 128
    assert found["memory"]["available"] > found["memory"]["total"]
    assert batch.space.get("job", preflight_job_name("good")) == {}


def test_two_jobs_of_one_name_run_in_two_namespaces_at_once(batch: Batch) -> None:
    one, other = batch.space.end_of("good"), batch.other.end_of("good")

    assert one["phase"] == other["phase"] == "Succeeded"
    assert one["model"]["uri"] != other["model"]["uri"]
    assert one["attempts"][0]["pod"] != other["attempts"][0]["pod"]


def test_the_end_is_reported_by_an_event_and_by_the_columns_of_kubectl_get(batch: Batch) -> None:
    batch.space.end_of("good")
    batch.space.events("good", "Succeeded")  # it may have been shorter than the operator took to write that it runs
    table = batch.space.kubectl("get", "ftj", "good").splitlines()

    assert table[0].split()[:3] == ["NAME", "PHASE", "PROGRESS"]
    assert table[1].split()[:3] == ["good", "Succeeded", "100"]


@pytest.mark.parametrize(
    ("name", "reason", "in_message", "exit_code"),
    [
        ("no-such-column", "ColumnNotFound", "'txt'", 11),
        ("no-such-model", "ModelNotFound", "modell", 12),
        ("no-such-argument", "UnknownArgument", "warmup_stepz", 10),
    ],
)
def test_a_users_mistake_fails_with_a_reason_and_a_hint_and_is_not_retried(
    batch: Batch, name: str, reason: str, in_message: str, exit_code: int
) -> None:
    status = batch.space.end_of(name)

    assert status["phase"] == "Failed"
    assert (status["failure"]["reason"], status["failure"]["exitCode"]) == (reason, exit_code)
    assert in_message in status["failure"]["message"]
    assert status["failure"]["hint"]
    assert "Traceback" not in json.dumps(status["failure"])
    assert [(each["number"], each["exitCode"]) for each in status["attempts"]] == [(1, exit_code)]
    assert "progress" not in status or status["progress"]["step"] == 0


def test_a_job_that_was_cleaned_up_after_its_time_to_live_is_not_run_again(batch: Batch) -> None:
    batch.space.end_of("no-such-model")
    ended = batch.space.until(
        "no-such-model", lambda status: "output" not in status["run"], "its claim to be let go of"
    )
    wait_for(lambda: batch.space.get("job", "no-such-model"), lambda job: not job, "the Job to go")

    assert _after_a_new_look(batch.space, "no-such-model") == ended
    assert batch.space.get("job", "no-such-model") == {}


def test_a_finished_job_is_not_run_again_by_applying_it_or_by_deleting_its_children(batch: Batch) -> None:
    ended = batch.space.end_of("good")
    batch.space.kubectl("delete", "job", "good")
    batch.space.apply(finetunejob("good"))

    assert _after_a_new_look(batch.space, "good") == ended
    assert batch.space.get("job", "good") == {}


def _after_a_new_look(space: Space, name: str) -> dict[str, Any]:
    """The status after the operator has certainly looked at the job again, less the generation that shows it."""
    space.patch(name, {"runPolicy": {"backoffLimit": 7}})
    generation = space.get("ftj", name)["metadata"]["generation"]
    seen = space.until(name, lambda status: status["observedGeneration"] == generation, "a new look")
    return {**seen, "observedGeneration": 1}


def test_nothing_of_ours_but_the_status_is_written_on_the_users_object(batch: Batch) -> None:
    metadata = batch.other.get("ftj", "good")["metadata"]

    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}


def test_deleting_a_job_deletes_its_children_and_keeps_the_claim_if_asked_to(batch: Batch) -> None:
    for name in ("good", "no-such-column"):
        batch.space.end_of(name)
        batch.space.kubectl("delete", "ftj", name)

    def children() -> list[str]:
        kinds = "jobs,pods"
        selector = "finetune.dev/job-name in (good, no-such-column)"
        return sorted(f"{each['kind']}/{each['metadata']['name']}" for each in batch.space.list(kinds, selector))

    wait_for(children, lambda left: not left, "the children to go")

    def claims() -> list[str]:
        label = "finetune.dev/job-name"
        return [each["metadata"]["labels"][label] for each in batch.space.list("pvc", label)]

    wait_for(claims, lambda left: "no-such-column" not in left, "the claim to go")

    assert "good" in claims()


def test_the_operator_is_well_and_has_logged_no_error(batch: Batch, operator_process: OperatorProcess) -> None:
    assert operator_process.get("/healthz") == (200, "ok\n")
    assert "Traceback" not in operator_process.log.read_text()
