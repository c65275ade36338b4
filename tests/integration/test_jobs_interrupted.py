"""Jobs that are interrupted: by a pod that goes away, by their user, by an outage of the operator."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psutil
import pytest
from tests.integration.fixtures import OperatorProcess, Space, StandIn, finetunejob

from devcluster.testing.api import wait_for
from finetune_api.curves import Curves

STEPS = 1440
LONG: dict[str, Any] = {
    "training": {"epochs": STEPS // 16, "batchSize": 8, "learningRate": 0.01},
    "evaluation": {"strategy": "steps", "steps": 120, "metrics": ["accuracy"]},
    "checkpoints": {"strategy": "steps", "steps": 120, "keep": 2},
}
"""Long enough to be interrupted: a fast machine does 480 steps before the status tells of the first ones. Each evaluation and checkpoint takes as long as many steps."""


def in_the_middle(status: dict[str, Any]) -> bool:
    return status.get("phase") == "Running" and status["progress"]["step"] >= 40 and "latestCheckpoint" in status


@dataclass(frozen=True)
class Interrupted:
    """What was seen of a job: before it was interrupted, meanwhile, and at its end."""

    before: dict[str, Any]
    meanwhile: dict[str, Any]
    pods_meanwhile: list[dict[str, Any]]
    end: dict[str, Any]


@contextmanager
def standing_still(job: str) -> Iterator[None]:
    """The job's trainer is stopped, if it is a process of this machine: its training does not end before an operator has started or ended."""
    stopped = []
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            if "finetune_trainer" in (process.info["cmdline"] or ()) and process.environ().get("HOSTNAME", "").startswith(job):  # fmt: skip
                process.suspend()
                stopped.append(process)
    try:
        yield
    finally:
        for process in stopped:
            process.resume()


def lose_the_pod(space: Space) -> Interrupted:
    space.apply(finetunejob("killed", **LONG))
    before = space.until("killed", in_the_middle, "the middle of its training")
    space.kubectl("delete", "pod", before["attempts"][0]["pod"], "--wait=false")
    meanwhile = space.until("killed", lambda s: "exitCode" in s["attempts"][0], "the end of its first attempt")
    return Interrupted(before, meanwhile, [], space.end_of("killed"))


def suspend_and_resume(space: Space, pod: dict[str, Any]) -> Interrupted:
    space.apply(finetunejob("paused", **LONG, pod=pod))
    before = space.until("paused", in_the_middle, "the middle of its training")
    space.patch("paused", {"suspend": True})
    suspended = space.until("paused", lambda s: s["message"].startswith("suspended at step"), "its suspension")
    pods = space.list("pods", "finetune.dev/job-name=paused")
    space.patch("paused", {"suspend": False})
    return Interrupted(before, suspended, pods, space.end_of("paused"))


# Where workers take tests from each other, one may come back to this module: the jobs are there once.
@pytest.fixture(scope="session")
def interrupted(space: Space, stand_in: StandIn) -> Iterator[tuple[Interrupted, Interrupted]]:
    """Two jobs at once: one that loses its pod, and one that is suspended, which to a trainer is the same."""
    with ThreadPoolExecutor() as threads:
        lost, suspended = (
            threads.submit(lose_the_pod, space),
            threads.submit(suspend_and_resume, space, stand_in(holds=True)),
        )
        yield lost.result(), suspended.result()


@pytest.mark.slow
def test_a_pod_that_goes_away_is_replaced_and_the_new_one_resumes(
    interrupted: tuple[Interrupted, Interrupted],
) -> None:
    lost = interrupted[0]

    assert_resumed(lost.end, lost.before)
    assert lost.meanwhile["attempts"][0]["exitCode"] == 143
    assert lost.end["attempts"][0] == lost.meanwhile["attempts"][0]


def test_a_suspended_job_stops_with_a_checkpoint_and_goes_on_from_there(
    interrupted: tuple[Interrupted, Interrupted],
) -> None:
    paused = interrupted[1]

    assert paused.meanwhile["phase"] == "Suspended"
    assert paused.meanwhile["latestCheckpoint"]["step"] >= paused.before["latestCheckpoint"]["step"]
    assert [pod for pod in paused.pods_meanwhile if pod["status"]["phase"] in ("Pending", "Running")] == []
    assert_resumed(paused.end, paused.before)


@pytest.mark.slow
def test_an_outage_of_the_operator_loses_nothing_and_doubles_nothing(
    space: Space, operator_process: OperatorProcess
) -> None:
    space.apply(finetunejob("orphan", **LONG))
    before = space.until("orphan", in_the_middle, "the middle of its training")
    job = space.get("job", "orphan")["metadata"]["uid"]

    with standing_still("orphan"):
        operator_process.end(signal.SIGKILL)
        operator_process.start()
    after = space.until("orphan", lambda s: s["progress"]["step"] > before["progress"]["step"], "news of it")
    with standing_still("orphan"):
        operator_process.end(signal.SIGTERM)
    wait_for(lambda: _has_ended(space.get("job", "orphan")), bool, "the Job to end")
    unseen = space.status("orphan")
    operator_process.start()
    status = space.end_of("orphan")

    assert after["phase"] == "Running"
    assert unseen["phase"] == "Running"
    assert status["phase"] == "Succeeded"
    assert (status["progress"]["step"], status["progress"]["percent"]) == (STEPS, 100)
    assert [(each["number"], each["exitCode"]) for each in status["attempts"]] == [(1, 0)]
    assert status["latestCheckpoint"]["step"] == STEPS
    assert status["evaluations"][-1]["step"] == STEPS
    assert_curves_to(STEPS, status, gap=1 / 4)  # what the termination message has room for
    assert status["model"]["uri"]
    assert space.get("job", "orphan")["metadata"]["uid"] == job
    assert [each["metadata"]["name"] for each in space.list("jobs", "finetune.dev/job-name=orphan")] == ["orphan"]


def assert_resumed(status: dict[str, Any], before: dict[str, Any]) -> None:
    """It has ended as if it had never been interrupted."""
    steps = [each["step"] for each in status["evaluations"]]

    assert status["phase"] == "Succeeded", status
    assert (status["progress"]["step"], status["progress"]["totalSteps"]) == (STEPS, STEPS)
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS
    assert_curves_to(STEPS, status)
    assert [each["number"] for each in status["attempts"]] == [1, 2]
    assert status["attempts"][0]["pod"] == before["attempts"][0]["pod"]
    assert status["attempts"][1]["resumedFromStep"] >= before["latestCheckpoint"]["step"] > 0


def assert_curves_to(last: int, status: dict[str, Any], gap: float = 1 / 8) -> None:
    """The curves go from the first steps to the last one, with no gap in between that is larger than this share of them."""
    curves = Curves.model_validate(status["curves"])
    assert curves.training
    steps = (0, *curves.training.at)
    assert steps[-1] == last
    assert curves.points("eval_accuracy")[-1][0] == last
    assert max(after - before for before, after in pairwise(steps)) <= last * gap, steps


def _has_ended(job: dict[str, Any]) -> bool:
    return any(each["type"] == "Complete" and each["status"] == "True" for each in job["status"].get("conditions", []))
