"""Jobs that cannot run yet say why, and hold nothing when they give up."""

from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, Space, StandIn, finetunejob, reason_of, restricted_pod

from devcluster.testing.api import wait_for
from finetune_operator.settings import Settings

MISSING_IMAGE = {"image": "example.invalid/trainer:does-not-exist"}


def test_a_job_that_finds_no_free_gpu_waits_with_the_schedulers_words(space: Space) -> None:
    holder = {
        "name": "holder",
        "image": Settings().trainer_image,
        "command": ["python", "-c", "import time; time.sleep(300)"],
        "resources": {"limits": {"nvidia.com/gpu": "2"}},
    }
    space.apply(restricted_pod("holder", [holder], terminationGracePeriodSeconds=0, restartPolicy="Never"))
    scheduled = lambda: space.get("pod", "holder")["status"].get("conditions", [])  # noqa: E731
    wait_for(scheduled, bool, "the scheduler's word on the other pod")
    space.apply(finetunejob("no-gpu", resources={"gpus": 1}))

    status = space.until("no-gpu", lambda s: "Insufficient nvidia.com/gpu" in s.get("message", ""), "a reason")
    space.kubectl("delete", "ftj/no-gpu", "pod/holder")

    assert (status["phase"], reason_of(status)) == ("Pending", "Unschedulable")


def test_a_job_that_asks_for_more_than_any_node_has_waits(space: Space) -> None:
    space.apply(finetunejob("too-large", resources={"gpus": 0, "memory": "900Ti"}))

    status = space.until("too-large", lambda s: "Insufficient memory" in s.get("message", ""), "a reason")
    space.kubectl("delete", "ftj", "too-large")

    assert status["phase"] == "Pending"


@pytest.mark.slow
def test_an_image_that_cannot_be_pulled_is_named_and_the_deadline_frees_the_node(space: Space) -> None:
    space.apply(finetunejob("no-image", pod=MISSING_IMAGE, runPolicy={"preRunningDeadlineSeconds": 3600}))

    waiting = space.until("no-image", lambda s: MISSING_IMAGE["image"] in s.get("message", ""), "a reason")
    space.patch("no-image", {"runPolicy": {"preRunningDeadlineSeconds": 1}})
    status = space.end_of("no-image")
    wait_for(lambda: space.get("job", "no-image"), lambda job: not job, "the Job to go")

    assert reason_of(waiting) in ("ErrImagePull", "ImagePullBackOff")
    assert status["phase"] == "Failed"
    assert status["failure"]["reason"] == "PreRunningDeadlineExceeded"
    assert MISSING_IMAGE["image"] in status["failure"]["message"]
    assert status["failure"]["hint"]


def test_a_claim_that_is_not_there_is_named(space: Space) -> None:
    space.apply(finetunejob("no-claim", model={"source": "pvc://nowhere/model"}))

    status = space.until("no-claim", lambda s: "nowhere" in s.get("message", ""), "a reason")
    space.kubectl("delete", "ftj", "no-claim")

    assert status["phase"] == "Pending"


def test_a_secret_that_is_not_there_is_named(space: Space) -> None:
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "missing-token", "key": "token"}}}
    space.apply(finetunejob("no-secret", pod={"env": [token]}))

    status = space.until("no-secret", lambda s: "missing-token" in s.get("message", ""), "a reason")
    space.kubectl("delete", "ftj", "no-secret")

    assert status["phase"] == "Pending"


@pytest.mark.slow
def test_credentials_that_are_not_there_are_named(space: Space) -> None:
    output = {"uri": "s3://models/x", "secretRef": {"name": "missing-keys"}}
    space.apply(finetunejob("no-keys", output=output))

    status = space.until("no-keys", lambda s: "missing-keys" in s.get("message", ""), "a reason")
    space.kubectl("delete", "ftj", "no-keys")

    assert (status["phase"], reason_of(status)) == ("Pending", "FailedMount")


def test_a_job_whose_second_pod_finds_no_room_says_so(space: Space) -> None:
    space.apply(finetunejob("half", resources={"gpus": 2, "nodes": 2}))

    status = space.until("half", lambda s: "1 of 2 pods run" in s.get("message", ""), "a reason")
    space.kubectl("delete", "ftj", "half")

    assert (status["phase"], reason_of(status)) == ("Pending", "Unschedulable")
    assert "Insufficient nvidia.com/gpu" in status["message"]
    assert "startTime" not in status["attempts"][0]


def test_an_object_of_the_same_name_is_left_alone_and_named(space: Space) -> None:
    foreign: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ft-taken"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]},
    }
    space.apply(foreign, finetunejob("taken", resources={"gpus": 0, "nodes": 2}))

    status = space.until("taken", lambda s: "ft-taken" in s.get("message", ""), "a reason")
    untouched = space.get("service", "ft-taken")
    space.kubectl("delete", "ftj", "taken")

    assert (status["phase"], reason_of(status)) == ("Pending", "NameConflict")
    assert untouched["spec"]["selector"] == {"app": "theirs"}
    assert "ownerReferences" not in untouched["metadata"]
    assert space.get("job", "taken") == {}


@pytest.mark.slow
def test_a_job_that_waits_for_a_wrong_default_image_takes_the_mended_one(
    space: Space, operator_process: OperatorProcess, stand_in: StandIn
) -> None:
    setting, before = "FINETUNE_OPERATOR_TRAINER_IMAGE", operator_process.environment["FINETUNE_OPERATOR_TRAINER_IMAGE"]
    right = stand_in().get("image", before)

    def restart(image: str) -> None:
        operator_process.end()
        operator_process.environment[setting] = image
        operator_process.start()

    try:
        restart(MISSING_IMAGE["image"])
        space.apply(finetunejob("mended"))
        waits = space.until("mended", lambda status: "cannot be pulled, tried" in status.get("message", ""), "a reason")

        restart(right)
        status = space.end_of("mended")
    finally:
        restart(before)

    assert waits["message"].startswith(f"the image {MISSING_IMAGE['image']} cannot be pulled, tried ")
    assert waits["message"].endswith("check the operator's default image, or name one in pod.image")
    assert status["phase"] == "Succeeded"
    assert status["provenance"]["image"] == right


def test_nothing_of_this_was_an_error_of_the_operator(space: Space, operator_process: OperatorProcess) -> None:
    assert "Traceback" not in operator_process.log.read_text()
