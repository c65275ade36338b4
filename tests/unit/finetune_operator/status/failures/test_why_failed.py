"""Failures for people: a reason, what happened, and what to do."""

import json
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import at, job, observation, parsed, pod, terminated

from finetune_operator.status.change import to_manifest
from finetune_operator.status.compute import compute
from finetune_operator.status.failures.why_failed import cut, to_reason

WORD = {
    "exitCode": 11,
    "failure": {
        "reason": "ColumnNotFound",
        "message": "column 'txt' is not in split 'train'",
        "hint": "set dataset.columns.text to the column that holds it",
    },
}
POLICY = ("Failed", "PodFailurePolicy", "Container trainer failed with exit code 11 matching FailJob rule")
BACKOFF = ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")


def failure(end: tuple[str, str, str], *pods: dict[str, Any], **spec: Any) -> dict[str, Any]:
    status = to_manifest(compute(parsed(**spec), observation(job(end=end), *pods), at(101)).status)
    assert status["phase"] == "Failed"
    assert status["message"] == status["failure"]["message"]
    found: dict[str, Any] = status["failure"]
    return found


def test_the_trainers_own_word_is_taken_as_it_is() -> None:
    found = failure(POLICY, pod(state=terminated(11, message=json.dumps(WORD))))

    assert found == {**WORD["failure"], "exitCode": 11}  # type: ignore[dict-item]


def test_a_final_report_that_does_not_fit_the_exit_code_is_not_believed() -> None:
    found = failure(BACKOFF, pod(state=terminated(137, message=json.dumps(WORD))))

    assert (found["reason"], found["exitCode"]) == ("Killed", 137)
    assert "logTail" not in found


@pytest.mark.parametrize(
    ("state", "reason", "in_message"),
    [
        (terminated(137, "OOMKilled"), "OOMKilled", "over its memory limit of 2Gi"),
        (terminated(137), "Killed", "was killed (SIGKILL)"),
        (terminated(139), "Crashed", "SIGSEGV"),
        (terminated(13), "OutOfMemory", "out of memory"),
        (terminated(14), "LossNotFinite", "NaN"),
        (terminated(16), "NoUsableGpu", "no GPU"),
        (terminated(128, "StartError", 'exec: "python": not found'), "ContainerCannotRun", "not found"),
        (terminated(77, message="Traceback"), "TrainerError", "exit code 77"),
    ],
)
def test_without_a_final_report_the_exit_code_and_kubernetes_say_what_happened(
    state: dict[str, Any], reason: str, in_message: str
) -> None:
    found = failure(BACKOFF, pod(state=state), resources={"memory": "2Gi"})

    assert found["reason"] == reason
    assert in_message in found["message"]
    assert found["hint"]
    assert found["message"].startswith("gave up after 1 attempt; the last one: ")


def test_a_program_that_the_image_does_not_hold_is_told_without_the_layers_of_the_runtime() -> None:
    runc = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        'unable to start container process: error during container init: exec: "python": executable file not found in $PATH'
    )

    found = failure(BACKOFF, pod(state=terminated(128, "StartError", runc)))

    assert found["message"] == (
        "gave up after 1 attempt; the last one: the image trainer:1 cannot start the trainer: "
        'exec: "python": executable file not found in $PATH'
    )
    assert "logTail" not in found


def test_the_end_of_the_log_stands_in_for_the_final_report() -> None:
    found = failure(BACKOFF, pod(state=terminated(1, message="Traceback\n" + "x" * 3000)))

    assert found["logTail"] == "x" * 2048


def test_attempts_that_were_stopped_or_lost_a_peer_are_not_among_those_that_were_given_up() -> None:
    pods = [pod(1, state=terminated(143)), pod(2, state=terminated(17)), pod(3, state=terminated(1))]

    found = failure(BACKOFF, *pods)
    lost = failure(("Failed", "Evicted", "x"), pod(state=terminated(17)))

    assert found["message"] == "gave up after 1 attempt; the last one: the trainer ended with an error of its own"
    assert (lost["reason"], lost["message"]) == ("PeerLost", "another process of the run was lost")


def test_an_evicted_pod_is_not_blamed_on_the_trainer() -> None:
    evicted = pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")

    found = failure(BACKOFF, evicted)

    assert found["reason"] == "Evicted"
    assert (
        found["message"]
        == "gave up after 1 attempt; the last one: node n1 evicts the pod: The node was low on resource: memory"
    )


DISRUPTED = [
    {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "preempting to accommodate a higher priority pod",
    }
]


@pytest.mark.parametrize("code", [137, 15])
def test_a_preempted_pod_is_not_blamed_on_the_trainer_whatever_it_ended_with(code: int) -> None:
    status = to_manifest(
        compute(parsed(), observation(job(), pod(state=terminated(code), conditions=DISRUPTED)), at(95)).status
    )

    assert (status["phase"], status["attempts"][0]["reason"]) == ("Pending", "PreemptionByScheduler")
    assert status["message"] == (
        "the scheduler preempts the pod on node n1 for one of higher priority; "
        "a new attempt comes, and no checkpoint is known that it could go on from"
    )


def test_a_preempted_pod_is_not_among_the_attempts_that_were_given_up() -> None:
    found = failure(BACKOFF, pod(state=terminated(137), conditions=DISRUPTED), pod(2, state=terminated(1)))

    assert found["message"] == "gave up after 1 attempt; the last one: the trainer ended with an error of its own"


def test_a_deadline_names_what_took_the_time_where_attempts_failed() -> None:
    end = ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")

    found = failure(end, pod(state=terminated(137, "OOMKilled")), runPolicy={"activeDeadlineSeconds": 60})

    assert found["message"] == (
        "the job ran longer than runPolicy.activeDeadlineSeconds (60 s); "
        "the last failure: the container went over its memory limit"
    )


def test_a_deadline_names_its_field() -> None:
    end = ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")

    found = failure(end, pod(state=terminated(143)), runPolicy={"activeDeadlineSeconds": 60})

    assert found == {
        "reason": "DeadlineExceeded",
        "message": "the job ran longer than runPolicy.activeDeadlineSeconds (60 s)",
        "hint": "raise runPolicy.activeDeadlineSeconds, or train for fewer epochs",
    }


def test_a_job_that_failed_without_a_pod_says_what_kubernetes_says() -> None:
    found = failure(("Failed", "Some-Thing else", "no more"))

    assert found == {"reason": "SomeThingelse", "message": "no more"}


def test_foreign_words_are_made_to_fit_the_api() -> None:
    assert [to_reason(text) for text in ("", "9lives", "a b-c", "x" * 99)] == ["Unknown", "lives", "abc", "x" * 64]
    assert cut("one\n  two") == "one two"
    assert len(cut("x" * 5000)) == 1024


OF_A_LIMIT_RANGE = "raise the limit of ephemeral-storage, which a LimitRange of the namespace gives to the container, or read less data"


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 76Mi. ",
            "set resources.memory to what the training needs: a node evicts first what uses more than it has asked for",
        ),
        (
            'Usage of EmptyDir volume "scratch" exceeds the limit "10Gi". ',
            "let the job's profile raise the volume's size: scratch, tmp or sharedMemory of its defaults",
        ),
        (
            "The node was low on resource: ephemeral-storage. ",
            "use nodes with more disk, or an output that is not on the node",
        ),
        ('Container trainer exceeded its local ephemeral storage limit "10Gi". ', OF_A_LIMIT_RANGE),
        ("Pod ephemeral local storage usage exceeds the total limit of containers 10Gi. ", OF_A_LIMIT_RANGE),
    ],
)
@pytest.mark.parametrize(
    "word", ["", '{"exitCode":143,"outputEmpty":true}', "step 3: saved"], ids=["none", "final report", "log"]
)
def test_an_eviction_says_what_the_node_lacks_and_what_helps(message: str, hint: str, word: str) -> None:
    # A trainer leaves its word where it can, and may be killed before it ends as it says there.
    evicted = pod(phase="Failed", reason="Evicted", message=message, state=terminated(137, message=word))

    found = failure(BACKOFF, evicted)

    assert (found["reason"], found["hint"]) == ("Evicted", hint)
    assert found["message"] == f"gave up after 1 attempt; the last one: node n1 evicts the pod: {message.strip(' .')}"


def test_a_pod_that_its_node_refuses_says_so_and_is_counted() -> None:
    message = "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate nvidia.com/gpu"

    found = failure(BACKOFF, pod(phase="Failed", reason="UnexpectedAdmissionError", message=message))

    assert found == {
        "reason": "UnexpectedAdmissionError",
        "message": f"gave up after 1 attempt; the last one: {message}",
        "hint": "see `kubectl describe` of the pod and of its node",
    }


def test_an_image_with_python_and_without_the_trainer_is_named() -> None:
    log = "/usr/local/bin/python: No module named finetune_trainer"

    found = failure(BACKOFF, pod(state=terminated(1, message=log)))

    assert found == {
        "reason": "ContainerCannotRun",
        "message": "gave up after 1 attempt; the last one: the image trainer:1 holds no trainer",
        "hint": "pod.image must hold `python` and the module finetune_trainer",
        "exitCode": 1,
        "logTail": log,
    }
