"""A new `spec.runToken`: the run that is under way saves and stops, and the job runs anew in a folder of its own."""

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, Space, StandIn, finetunejob, reason_of
from tests.integration.test_jobs_interrupted import LONG, in_the_middle

from devcluster.testing.api import wait_for

NAME = "again"
SELECTOR = f"finetune.dev/job-name={NAME}"


@dataclass(frozen=True)
class Runs:
    """What was seen of a job that ran twice."""

    first: dict[str, Any]
    refused: str
    """What kubectl said to a change without another token."""
    running_at_once: list[set[str]]
    """The runs whose pods had not ended, each time that was looked at."""
    end: dict[str, Any]
    left: dict[str, list[str]]
    """The run of each Job and claim that were there then."""


def runs_of_pods(space: Space) -> set[str]:
    pods = space.list("pods", SELECTOR)
    live = [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]
    return {pod["metadata"]["labels"]["finetune.dev/run"] for pod in live}


# Where workers take tests from each other, one may come back to this module, in any order: the job is there once.
@pytest.fixture(scope="session")
def runs(space: Space, stand_in: StandIn) -> Runs:
    long = {**LONG, "pod": stand_in(holds=True)}
    space.apply(finetunejob(NAME, **long))
    first = space.until(NAME, in_the_middle, "the middle of its training")
    # The trainer itself: it writes a run of its own beside the first one's files.
    short = {**LONG, "training": {"epochs": 2, "batchSize": 8, "learningRate": 0.01}}
    refused = space.kubectl("apply", "-f", "-", stdin=json.dumps(finetunejob(NAME, **short)), check=False)
    space.apply(finetunejob(NAME, **short, runToken="2"))
    seen: list[set[str]] = []

    def ended() -> dict[str, Any]:
        seen.append(runs_of_pods(space))
        return space.status(NAME)

    end = wait_for(ended, lambda status: status.get("phase") in ("Succeeded", "Failed"), "the end of the second run")
    left = {
        kind: [each["metadata"]["labels"]["finetune.dev/run"] for each in space.list(kind, SELECTOR)]
        for kind in ("job", "persistentvolumeclaim")
    }
    return Runs(first, refused, seen, end, left)


@pytest.mark.slow
def test_a_change_of_what_shapes_the_run_needs_another_token(runs: Runs) -> None:
    assert "change it together with runToken" in runs.refused


@pytest.mark.slow
def test_the_second_run_is_one_of_its_own(runs: Runs, space: Space) -> None:
    claim = runs.first["run"]["output"]

    assert (runs.end["phase"], reason_of(runs.end)) == ("Succeeded", "Succeeded"), runs.end["message"]
    assert {**runs.end["run"], "beginTime": ""} == {
        "number": 2,
        "token": "2",
        "beginTime": "",
        "output": f"{claim}/runs/2",
    }
    assert runs.end["model"]["uri"] == f"{claim}/runs/2/model"
    assert runs.end["progress"]["totalSteps"] == 32
    assert [(each["number"], each["resumedFromStep"]) for each in runs.end["attempts"]] == [(1, 0)]
    (before,) = runs.end["previousRuns"]
    assert (before["number"], before["phase"], before["attempts"], before["output"]) == (1, "Running", 1, claim)
    assert before["step"] >= runs.first["progress"]["step"]


def test_no_pod_of_the_second_run_is_there_before_the_last_of_the_first_has_ended(runs: Runs) -> None:
    assert {frozenset(each) for each in runs.running_at_once} <= {frozenset(), frozenset("1"), frozenset("2")}
    assert {"2"} in runs.running_at_once


def test_of_the_first_run_only_what_it_saved_is_left(runs: Runs) -> None:
    assert runs.left == {
        "job": ["2"],
        "persistentvolumeclaim": ["1"],
    }


@pytest.mark.slow
def test_nothing_else_runs_it_again(runs: Runs, space: Space, operator_process: OperatorProcess) -> None:
    space.kubectl("label", "ftj", NAME, "team=a")
    space.kubectl("delete", "jobs,pods", "-l", SELECTOR)
    space.patch(NAME, {"runPolicy": {"backoffLimit": 1}})
    operator_process.end()
    operator_process.start()

    generation = space.get("ftj", NAME)["metadata"]["generation"]
    after = space.until(NAME, lambda status: status["observedGeneration"] == generation, "its end to be seen again")

    assert {**after, "observedGeneration": 0} == {**runs.end, "observedGeneration": 0}
    assert space.list("jobs", SELECTOR) == []


def test_a_token_that_was_set_stays(runs: Runs, space: Space) -> None:
    taken_away = space.kubectl("patch", "ftj", NAME, "--type=merge", "-p", '{"spec":{"runToken":null}}', check=False)

    assert "stays once it is set: change it to run the job anew" in taken_away


@pytest.mark.slow
def test_a_run_that_failed_with_nothing_saved_gives_its_volume_back_and_the_next_one_gets_another(
    space: Space, stand_in: StandIn
) -> None:
    data: dict[str, Any] = {"source": "pvc://seed/data", "train": {"split": "train"}}
    dataset = {**data, "columns": {"text": "nowhere"}}
    space.apply(finetunejob("nothing", evaluation={}, dataset=dataset, pod=stand_in()))
    space.end_of("nothing")
    failed = space.until("nothing", lambda status: "output" not in status["run"], "its claim to be let go of")
    selector = "finetune.dev/job-name=nothing"
    # A real API server keeps a claim until the last pod has gone that names it, ended ones included.
    left = [each["metadata"] for each in space.list("pvc", selector)]
    events = space.events("nothing", "ColumnNotFound")

    training = {"epochs": 1, "batchSize": 8, "learningRate": 0.01}
    space.patch("nothing", {"runToken": "2", "training": training, "dataset": {"columns": {"text": "text"}}})
    space.until("nothing", lambda status: status["run"]["number"] == 2, "its second run")
    again = space.end_of("nothing")

    assert reason_of(failed) == "ColumnNotFound"
    (claim,) = re.findall(r"; nothing was saved, so the claim (\S+) made for the output is deleted", failed["message"])
    assert failed["message"].partition("; nothing was saved")[0] == events["ColumnNotFound"]
    assert failed["run"] == {"number": 1}
    assert [each["name"] for each in left if "deletionTimestamp" not in each] == []
    assert again["phase"] == "Succeeded", again["message"]
    assert again["model"]["uri"] == f"pvc://{claim}/runs/2/model"
    (its_claim,) = (each["metadata"] for each in space.list("pvc", selector))
    assert its_claim["name"] == claim
    assert "deletionTimestamp" not in its_claim
    assert its_claim["uid"] not in [each["uid"] for each in left]
