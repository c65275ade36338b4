"""A trainer that is stopped in the middle: it is said, ended and replaced, and what it used is counted."""

from datetime import datetime
from typing import Any

import psutil
import pytest
from tests.integration.fixtures import Space, finetunejob, reason_of
from tests.integration.test_jobs_interrupted import LONG, in_the_middle

from finetune_api.report import ENV_SERVER_URL

pytestmark = pytest.mark.slow


def trainer_of(name: str) -> psutil.Process:
    """The process that trains: its parent is the first process of the pod."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(ENV_SERVER_URL, "").endswith(f"/finetunejobs/{name}"):
                found.append(process)
        except psutil.Error:
            continue
    pids = {process.pid for process in found}
    return next(process for process in found if process.ppid() in pids)


def ran(pod: dict[str, Any]) -> float:
    """Seconds for which the container of a pod ran."""
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return (datetime.fromisoformat(state["finishedAt"]) - datetime.fromisoformat(state["startedAt"])).total_seconds()


def stop_at_a_step(space: Space, name: str) -> dict[str, Any]:
    """Stop the trainer of a job that trains, and return the status that says so.

    Where the last that it reported was a save or an evaluation, it may take as long as that takes, and nothing is said: it goes on then,
    and is stopped again.
    """
    trainer = trainer_of(name)
    while True:
        trainer.suspend()
        said = space.until(name, lambda status: reason_of(status) != "Training", "what it was stopped at")
        if reason_of(said) == "NotMoving":
            return said
        trainer.resume()
        space.until(name, lambda status: reason_of(status) == "Training", "steps to stop it at")


def test_a_trainer_that_stops_is_said_ended_and_replaced_and_its_time_is_counted(space: Space) -> None:
    # Few of either: with more of them a slow machine does hardly anything else.
    evaluation = {"strategy": "steps", "steps": 1200, "metrics": ["accuracy"]}
    checkpoints = {"strategy": "steps", "steps": 120, "keep": 2}
    policy = {"progressDeadlineSeconds": 20, "backoffLimit": 1}
    space.apply(
        finetunejob("still", **{**LONG, "evaluation": evaluation, "checkpoints": checkpoints}, runPolicy=policy)
    )
    before = space.until("still", in_the_middle, "the middle of its training")

    said = stop_at_a_step(space, "still")
    ended = space.until("still", lambda s: "exitCode" in s["attempts"][0], "the end of its first attempt")
    end = space.end_of("still")

    assert "no step since" in said["message"]
    assert {name: ended["attempts"][0][name] for name in ("exitCode", "reason")} == {
        "exitCode": 19,
        "reason": "ProgressStalled",
    }
    assert end["phase"] == "Succeeded"
    assert end["attempts"][1]["resumedFromStep"] >= before["latestCheckpoint"]["step"]
    assert "no step since" in space.events("still", "Running", "NotMoving")["NotMoving"]
    pods = space.list("pods", "finetune.dev/job-name=still")
    assert len(pods) == 2
    assert end["usage"]["podSeconds"] == sum(map(ran, pods))


def test_a_launcher_that_stops_is_said_and_ended_while_its_processes_could_train_on(space: Space) -> None:
    policy = {"progressDeadlineSeconds": 20, "backoffLimit": 1}
    resources = {"gpus": 0, "processesPerNode": 2}
    space.apply(finetunejob("led", **LONG, resources=resources, runPolicy=policy))
    space.until("led", in_the_middle, "the middle of its training")

    said = stop_at_a_step(space, "led")
    ended = space.until("led", lambda s: "exitCode" in s["attempts"][0], "the end of its first attempt")
    space.kubectl("delete", "ftj", "led", "--wait=false")

    assert "no step since" in said["message"]
    assert {name: ended["attempts"][0][name] for name in ("exitCode", "reason")} == {
        "exitCode": 19,
        "reason": "ProgressStalled",
    }
