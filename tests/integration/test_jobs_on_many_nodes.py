"""Jobs of many pods: they learn what one process learns, and go on together when one of them is lost."""

from typing import Any

import pytest
from tests.integration.fixtures import Space, finetunejob

GLOBAL_BATCH = 8


def training(processes: int, epochs: int = 4) -> dict[str, Any]:
    return {"epochs": epochs, "batchSize": GLOBAL_BATCH // processes, "learningRate": 0.01}


def curve(status: dict[str, Any]) -> list[tuple[int, float]]:
    """Step and loss of each evaluation."""
    values = [(row["step"], {each["name"]: each["value"] for each in row["metrics"]}) for row in status["evaluations"]]
    return [(step, float(metrics["eval_loss"])) for step, metrics in values]


@pytest.fixture(scope="module")
def single(space: Space) -> dict[str, Any]:
    """The end of a job of one process."""
    space.apply(finetunejob("single", training=training(1)))
    return space.end_of("single")


@pytest.mark.slow
def test_two_pods_of_two_processes_learn_what_one_process_learns(space: Space, single: dict[str, Any]) -> None:
    space.apply(finetunejob("pair", training=training(4), resources={"gpus": 0, "nodes": 2, "processesPerNode": 2}))

    status = space.end_of("pair")
    service = space.get("service", "ft-pair")
    pods = space.list("pods", "finetune.dev/job-name=pair")

    assert status["phase"] == "Succeeded", status
    assert (status["progress"]["step"], status["progress"]["totalSteps"]) == (64, 64)
    assert [step for step, _ in curve(status)] == [step for step, _ in curve(single)] == [16, 32, 48, 64]
    assert [loss for _, loss in curve(status)] == pytest.approx([loss for _, loss in curve(single)], rel=1e-3)
    assert [(each["number"], each["pod"][:6], each["exitCode"]) for each in status["attempts"]] == [(1, "pair-0", 0)]
    assert service["metadata"]["ownerReferences"][0]["name"] == "pair"
    assert {pod["spec"]["hostname"] for pod in pods} >= {"pair-0"}


@pytest.mark.slow
def test_when_one_of_the_pods_goes_away_all_go_on_from_the_last_checkpoint(space: Space) -> None:
    checkpoints = {"strategy": "steps", "steps": 16, "keep": 2}
    resources = {"gpus": 0, "nodes": 2}
    space.apply(
        finetunejob(
            "bereft",
            training=training(2, epochs=20),
            evaluation={"metrics": ["accuracy"]},
            checkpoints=checkpoints,
            resources=resources,
            runPolicy={"backoffLimit": 0},
        )
    )
    before = space.until(
        "bereft", lambda s: s.get("phase") == "Running" and "latestCheckpoint" in s, "the middle of its training"
    )
    second = next(
        pod["metadata"]["name"]
        for pod in space.list("pods", "finetune.dev/job-name=bereft")
        if pod["spec"]["hostname"] == "bereft-1"
    )
    space.kubectl("delete", "pod", second, "--wait=false")

    status = space.end_of("bereft")

    assert status["phase"] == "Succeeded", status
    assert status["progress"]["step"] == status["progress"]["totalSteps"] == 320
    assert [each["number"] for each in status["attempts"]] == [1, 2]
    assert status["attempts"][0]["exitCode"] in (17, 143)
    assert status["attempts"][1]["resumedFromStep"] >= before["latestCheckpoint"]["step"] > 0
    assert curve(status)[-1][0] == 320
