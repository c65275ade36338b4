"""What is found out in a pod of its own before the training is made. `test_jobs` has what training pods find out before their first step."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, Space, StandIn, finetunejob

from devcluster.testing.api import PATIENCE, wait_for
from finetune_operator.job.names import preflight_job_name

NO_SUCH_COLUMN = {"source": "pvc://seed/data", "train": {"split": "train"}, "columns": {"text": "txt"}}
JOBS: dict[str, dict[str, Any]] = {
    # The claim is bound, since the seed was written to it: the preflight can leave the tokens there.
    "checked-in-pod": {"runPolicy": {"preflight": "pod"}, "output": {"uri": "pvc://seed/checked"}},
    # No node has such a GPU: the training waits, the preflight does not.
    "checked-for-gpu": {
        "runPolicy": {"preflight": "pod"},
        "resources": {"gpus": 1},
        "pod": {"nodeSelector": {"nvidia.com/gpu.product": "none-such"}},
    },
    "wrong-for-gpu": {
        "runPolicy": {"preflight": "pod"},
        "resources": {"gpus": 1},
        "dataset": NO_SUCH_COLUMN,
        "evaluation": {},
    },
    "suspended": {"runPolicy": {"preflight": "pod"}, "suspend": True},
}
TABLE = {"trainRows": 128, "evaluationRows": 32, "steps": 64, "batchSize": 8}


# Where workers take tests from each other, one may come back to this module, in any order: the jobs are there once.
@pytest.fixture(scope="session")
def jobs(space: Space, stand_in: StandIn) -> Iterator[Space]:
    wrong = {"wrong-for-gpu": {**JOBS["wrong-for-gpu"], "pod": stand_in()}}
    space.apply(*(finetunejob(name, **spec) for name, spec in {**JOBS, **wrong}.items()))
    yield space
    for name in JOBS:
        space.kubectl("delete", "ftj", name, "--ignore-not-found", "--wait=false")


def table(status: dict[str, Any]) -> dict[str, Any]:
    return {name: status["preflight"][name] for name in TABLE}


def phases(space: Space, name: str) -> list[str]:
    """By the Events, in their order."""
    selector = f"involvedObject.kind=FineTuneJob,involvedObject.name={name}"
    found = json.loads(space.kubectl("get", "events", f"--field-selector={selector}", "-o", "json"))["items"]
    return [each["reason"] for each in sorted(found, key=lambda each: int(each["metadata"]["resourceVersion"]))]


@pytest.mark.slow
def test_a_preflight_in_a_pod_of_its_own_comes_before_the_training(jobs: Space) -> None:
    status = jobs.end_of("checked-in-pod")
    first, second = jobs.get("job", preflight_job_name("checked-in-pod")), jobs.get("job", "checked-in-pod")

    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    assert table(status) == TABLE
    assert first["status"]["completionTime"] <= second["metadata"]["creationTimestamp"]
    assert [(each["number"], each["reason"]) for each in status["attempts"]] == [(1, "Completed")]
    assert status["attempts"][0]["pod"].startswith("checked-in-pod-")
    assert "preflight" not in status["attempts"][0]["pod"]
    jobs.events("checked-in-pod", "Succeeded")
    assert phases(jobs, "checked-in-pod")[-1] == "Succeeded"


def test_a_mistake_ends_a_job_before_any_gpu_is_asked_for(jobs: Space) -> None:
    status = jobs.end_of("wrong-for-gpu")
    made = jobs.list("jobs", "finetune.dev/job-name=wrong-for-gpu")
    pods = jobs.list("pods", "finetune.dev/job-name=wrong-for-gpu")

    assert status["phase"] == "Failed"
    assert (status["failure"]["reason"], status["failure"]["exitCode"]) == ("ColumnNotFound", 11)
    assert "'txt'" in status["failure"]["message"]
    assert status["failure"]["hint"]
    assert "attempts" not in status
    assert [each["metadata"]["name"] for each in made] == [preflight_job_name("wrong-for-gpu")]
    assert [each["spec"]["containers"][0]["resources"] for each in pods] == [
        {"requests": {"cpu": "1", "memory": "2Gi"}}
    ]
    assert jobs.list("pvc", "finetune.dev/job-name=wrong-for-gpu") == []


@pytest.mark.slow
def test_a_job_that_waits_for_a_gpu_has_reported_what_it_will_take(jobs: Space) -> None:
    status = jobs.until("checked-for-gpu", lambda now: "no node can take" in now.get("message", ""), "a word on nodes")

    assert status["phase"] == "Pending"
    assert table(status) == TABLE
    assert status["preflight"]["device"] == "GPU"
    assert "available" not in status["preflight"]["memory"]


@pytest.mark.slow
def test_the_training_takes_over_the_tokens_of_the_preflight(jobs: Space) -> None:
    status = jobs.end_of("checked-in-pod")
    log = jobs.kubectl("logs", "job/checked-in-pod")

    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    assert log.count("took over the tokens that an earlier stage of the job, or another job, has left") == 2


@pytest.mark.slow
def test_a_suspended_job_is_checked_once_it_goes_on(jobs: Space) -> None:
    waiting = jobs.until("suspended", lambda now: now.get("phase") == "Suspended", "the suspension")
    jobs.patch("suspended", {"suspend": False})
    status = jobs.end_of("suspended")

    assert "before model and data are checked" in waiting["message"]
    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)


@pytest.mark.slow
def test_a_training_that_somebody_deletes_is_made_again_without_a_second_preflight(jobs: Space) -> None:
    spec = {"runPolicy": {"preflight": "pod"}, "training": {"epochs": 4000, "batchSize": 8}, "checkpoints": {}}
    jobs.apply(finetunejob("made-again", **spec, evaluation={}))
    jobs.until("made-again", lambda now: now.get("phase") == "Running", "the training")
    jobs.kubectl("delete", "job", preflight_job_name("made-again"), "made-again", "--wait=true")

    wait_for(lambda: jobs.get("job", "made-again"), bool, "the Job to be made again")
    jobs.until("made-again", lambda now: len(now["attempts"]) == 2, "a second attempt")
    again = jobs.get("job", preflight_job_name("made-again"))
    jobs.kubectl("delete", "ftj", "made-again")

    assert again == {}


@pytest.mark.slow
def test_an_outage_of_the_operator_while_the_preflight_runs_costs_nothing(
    jobs: Space, operator_process: OperatorProcess
) -> None:
    jobs.apply(finetunejob("outlives", runPolicy={"preflight": "pod"}))
    checking = wait_for(lambda: jobs.get("job", preflight_job_name("outlives")), bool, "its Job")
    operator_process.end(signal.SIGKILL)
    jobs.kubectl(
        "wait", "--for=condition=Complete", f"job/{preflight_job_name('outlives')}", f"--timeout={PATIENCE:g}s"
    )
    operator_process.start()

    status = jobs.end_of("outlives")

    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    assert table(status) == TABLE
    assert jobs.get("job", preflight_job_name("outlives"))["metadata"]["uid"] == checking["metadata"]["uid"]


def test_deleting_a_job_deletes_its_preflight(space: Space, stand_in: StandIn) -> None:
    space.apply(finetunejob("checked-and-deleted", **JOBS["wrong-for-gpu"], pod=stand_in()))
    space.end_of("checked-and-deleted")
    space.kubectl("delete", "ftj", "checked-and-deleted")

    left = lambda: space.list("jobs,pods", "finetune.dev/job-name=checked-and-deleted")  # noqa: E731
    wait_for(left, lambda found: not found, "its children to go")
