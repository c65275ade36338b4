"""A job whose pods train together is told as one: by its first pod, and by the one that holds the others up."""

import json
from typing import Any

from tests.unit.finetune_operator.samples import (
    at,
    job,
    line,
    member,
    observation,
    parsed,
    received,
    running,
    stamp,
    terminated,
)

from finetune_operator.job.observation import Cause, Observation
from finetune_operator.status.change import to_manifest
from finetune_operator.status.compute import compute as computed

TRAINING = {"sequence": 1, "stage": "Training", "progress": {"step": 5, "epoch": "0.5"}, "resumedFromStep": 0}
REPORT: dict[str, Any] = {"report": TRAINING}
UNSCHEDULED = [
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available."}
]
BACKOFF = ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
POLICY = ("Failed", "PodFailurePolicy", "Container trainer failed with exit code 11 matching FailJob rule")
WORD = {"exitCode": 11, "failure": {"reason": "ColumnNotFound", "message": "column 'txt' is not there", "hint": "x"}}


def compute(observed: Observation, seconds: float = 60, status: Any = None, **spec: Any) -> dict[str, Any]:
    given = parsed(status, resources={"gpus": 1, "nodes": spec.pop("nodes", 2)}, **spec)
    return to_manifest(computed(given, observed, at(seconds)).status)


def test_a_job_runs_when_all_of_its_pods_do() -> None:
    first, second = member(0, state=running(12)), member(1, state=running(20))
    observed = observation(job(), first, second, report=received(REPORT, sender=first))

    status = compute(observed)

    assert line(status) == ("Running", "Training", "epoch 0.5 of 3")
    assert status["attempts"] == [
        {
            "number": 1,
            "pod": "yelp-0-1",
            "node": "n1",
            "startTime": stamp(20),
            "trainingStartTime": stamp(60),
            "podSeconds": 43 + 35,
            "resumedFromStep": 0,
            "lastStep": 5,
        }
    ]


def test_until_then_it_says_how_many_run_and_what_holds_up_the_next() -> None:
    up, starts = member(0, state=running()), member(1)
    late = member(3, node=None, conditions=UNSCHEDULED)
    quota = Cause("FailedCreate", "exceeded quota: small")

    lines = [
        line(compute(observation(job()))),
        line(compute(observation(job(), up, starts))),
        line(compute(observation(job(), up, starts, member(2, state=running()), late), nodes=4)),
        line(compute(observation(job(), up, blocked=quota))),
        line(compute(observation(job(), up, starts, blocked=Cause("FailedMount", 'secret "s3" not found')))),
    ]

    assert lines == [
        ("Pending", "WaitingForPod", "0 of 2 pods run; waiting for a pod"),
        ("Pending", "ContainerCreating", "1 of 2 pods run; pod 1: starting the container"),
        ("Pending", "Unschedulable", "2 of 4 pods run; pod 3: no node can take the pod: 0/2 nodes are available."),
        ("Pending", "FailedCreate", "1 of 2 pods run; the pod cannot be created: exceeded quota: small"),
        ("Pending", "FailedMount", '1 of 2 pods run; pod 1: a volume cannot be mounted: secret "s3" not found'),
    ]


def test_an_attempt_begins_with_the_last_of_its_pods_and_the_deadline_waits_for_it() -> None:
    up, late = member(0, state=running()), member(1, node=None, conditions=UNSCHEDULED)
    policy = {"preRunningDeadlineSeconds": 60}
    whole = compute(observation(job(), up, member(1, state=running(20))), runPolicy=policy)

    waits = compute(observation(job(), up, late), 60, runPolicy=policy)
    ends = compute(observation(job(), up, late), 61, runPolicy=policy)
    replaced = compute(observation(job(), up, late), 900, whole, runPolicy=policy)
    lost = compute(
        observation(job(), member(0, state=terminated(17, until=95)), member(1, 2, state=running(98))), 99, whole
    )

    assert waits["phase"] == "Pending"
    assert waits["attempts"] == [{"number": 1, "pod": "yelp-0-1", "node": "n1", "podSeconds": 43}]
    assert ends["failure"]["message"] == (
        "not all pods ran within 60 s (runPolicy.preRunningDeadlineSeconds): "
        "1 of 2 pods run; pod 1: no node can take the pod: 0/2 nodes are available."
    )
    assert replaced["phase"] == "Pending"
    assert [whole["attempts"][0]["startTime"], lost["attempts"][0]["startTime"]] == [stamp(20), stamp(20)]


def test_only_the_first_pods_word_is_taken() -> None:
    first, second = member(0, state=running()), member(1, state=running())

    status = compute(observation(job(), first, second, report=received(REPORT, sender=second)))

    assert line(status) == (
        "Preparing",
        "Preparing",
        "all 2 pods run; waiting for them to meet, and for the trainer's first report",
    )
    assert "progress" not in status


def test_a_failed_attempt_is_blamed_on_the_pod_that_failed_first_by_itself() -> None:
    lost = member(0, state=terminated(17, until=80))
    killed = member(1, state=terminated(137, "OOMKilled", until=90))
    fine = member(2, state=running())

    status = compute(observation(job(), lost, killed, fine), 95, nodes=3)

    assert line(status) == (
        "Pending",
        "Retrying",
        "the attempt failed: pod 1: the container went over its memory limit; a new one comes",
    )
    assert [(each["exitCode"], each["reason"]) for each in status["attempts"]] == [(17, "OOMKilled")]


def test_an_attempt_keeps_the_reason_of_the_pod_that_it_lost_when_that_one_is_gone_or_another_follows() -> None:
    lost, back = member(0, state=terminated(17, until=95)), member(0, 2, state=running(100))
    disruption = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]
    preempted = member(1, state=terminated(137), conditions=disruption)
    new = member(1, 2, state=terminated(1, since=93, until=110))

    first = compute(observation(job(), lost, preempted, member(1, 2, state=running(93))), 96)
    gone = compute(observation(job(), lost, member(1, 2, state=running(93))), 97, first)
    after = compute(observation(job(), lost, back, new), 111, gone)

    assert [status["attempts"][0]["reason"] for status in (first, gone, after)] == ["PreemptionByScheduler"] * 3


def test_pods_that_end_because_of_others_are_no_failure() -> None:
    lost = line(compute(observation(job(), member(0, state=terminated(17)), member(1, state=running())), 95))
    stopped = line(
        compute(observation(job(), member(0, state=terminated(17)), member(1, state=terminated(143, until=80))), 95)
    )

    assert lost == (
        "Pending",
        "Resuming",
        "another process of the run was lost; a new attempt comes, and no checkpoint is known that it could go on from",
    )
    assert stopped == (
        "Pending",
        "Resuming",
        "the pod was stopped; a new one comes, and no checkpoint is known that it could go on from",
    )


def test_a_pod_that_cannot_run_is_named_also_after_the_others_have_waited_in_vain() -> None:
    message = "not all of the 2 machines came within 900 s"
    word = {"exitCode": 17, "failure": {"reason": "PeerLost", "message": message}}
    waited = member(0, state=terminated(17, message=json.dumps(word)))
    observed = observation(job(), waited, member(1, node=None, conditions=UNSCHEDULED))

    assert line(compute(observed, 95)) == (
        "Pending",
        "Resuming",
        f"{message}; pod 1: no node can take the pod: 0/2 nodes are available.",
    )


def test_replaced_pods_are_a_new_attempt() -> None:
    old = [member(0, state=terminated(17)), member(1, state=terminated(137))]
    before = compute(observation(job(), *old), 95)
    new = [member(0, 2, state=running(100)), member(1, 2, state=running(105))]

    status = compute(observation(job(), *old, *new, report=received(REPORT, sender=new[0], seconds=110)), 111, before)

    assert status["phase"] == "Running"
    assert [(each["number"], each["pod"], each["startTime"]) for each in status["attempts"]] == [
        (1, "yelp-0-1", stamp(12)),
        (2, "yelp-0-2", stamp(105)),
    ]


def test_the_first_pods_success_is_that_of_the_job() -> None:
    pods = [member(0, state=terminated(0, "Completed")), member(1, state=terminated(143))]

    before = compute(observation(job(), *pods), 95)
    after = compute(observation(job(end=("Complete", "SuccessPolicy", "Matched rules at index 0")), *pods), 101)

    assert line(before)[1:] == ("Finishing", "the trainer has finished; waiting for the Job to complete")
    assert after["phase"] == "Succeeded"


def test_a_failed_job_tells_the_first_pods_own_word() -> None:
    pods = [member(0, state=terminated(11, message=json.dumps(WORD))), member(1, state=terminated(17, until=80))]

    status = compute(observation(job(end=POLICY), *pods), 101)

    assert status["failure"] == {**WORD["failure"], "exitCode": 11}  # type: ignore[dict-item]


def test_a_failed_job_names_another_pod_whose_fault_it_was() -> None:
    first = [member(0, state=terminated(17)), member(1, state=terminated(137))]
    second = [member(0, 2, state=terminated(17)), member(1, 2, state=terminated(1, message="Traceback"))]

    status = compute(observation(job(end=BACKOFF), *first, *second), 101)

    assert status["failure"] == {
        "reason": "TrainerError",
        "message": "gave up after 2 failed pods; the last one: pod 1: the trainer ended with an error of its own",
        "hint": "see failure.logTail, or `kubectl logs` of the pod",
        "exitCode": 1,
        "logTail": "Traceback",
    }
