"""The attempts of a job: which there were, and how each ended."""

import json

from tests.unit.finetune_operator.samples import (
    job,
    line,
    observation,
    parsed,
    pod,
    received,
    running,
    stamp,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import FINAL, compute


def test_a_failed_attempt_is_followed_by_another() -> None:
    status = compute(parsed(), observation(job(), pod(state=terminated(1, message="Traceback\nValueError: x"))), 95)

    assert line(status)[:2] == ("Pending", "Retrying")
    assert status["attempts"][0] | {"startTime": "", "endTime": ""} == {
        "number": 1,
        "pod": "yelp-1",
        "node": "n1",
        "startTime": "",
        "endTime": "",
        "podSeconds": 78,
        "exitCode": 1,
        "reason": "TrainerError",
    }


def test_a_stopped_attempt_is_no_failure() -> None:
    status = compute(parsed(), observation(job(), pod(state=terminated(143))), 95)

    assert line(status) == (
        "Pending",
        "Resuming",
        "the pod was stopped; a new one comes, and no checkpoint is known that it could go on from",
    )


def test_a_stopped_attempt_that_had_saved_says_so() -> None:
    word = json.dumps(FINAL | {"exitCode": 143, "model": None})

    status = compute(parsed(), observation(job(), pod(state=terminated(143, message=word))), 95)

    assert line(status) == (
        "Pending",
        "Resuming",
        "the pod was stopped and had saved a checkpoint; a new one goes on from there",
    )


def test_a_pod_that_vanished_has_ended() -> None:
    before = compute(parsed(), observation(job(), pod(state=running())))

    status = compute(parsed(before), observation(job(), pod(2, state=running(70))), 80)

    assert [(each["pod"], each.get("endTime"), each.get("reason")) for each in status["attempts"]] == [
        ("yelp-1", stamp(80), "PodGone"),
        ("yelp-2", None, None),
    ]


def test_a_pod_of_the_same_second_as_the_one_that_failed_is_the_next_attempt_whatever_its_name() -> None:
    failed, replacement = pod(2, state=terminated(1), phase="Failed"), pod(1, state=running(1))
    replacement["metadata"]["creationTimestamp"] = failed["metadata"]["creationTimestamp"]
    before = compute(parsed(), observation(job(), failed), 80)

    status = compute(parsed(before), observation(job(), failed, replacement), 81)

    assert [(each["number"], each["pod"], each.get("exitCode")) for each in status["attempts"]] == [
        (1, "yelp-2", 1),
        (2, "yelp-1", None),
    ]


def test_of_two_pods_of_one_second_that_failed_the_one_that_ended_first_is_the_first_attempt() -> None:
    first, second = pod(2, state=terminated(1), phase="Failed"), pod(1, state=terminated(1), phase="Failed")
    second["metadata"]["creationTimestamp"] = first["metadata"]["creationTimestamp"]
    first["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = "2026-03-01T10:00:30Z"
    second["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = "2026-03-01T10:00:31Z"
    before = compute(parsed(), observation(job(), first), 80)

    status = compute(parsed(before), observation(job(), first, second), 81)

    assert [(each["number"], each["pod"]) for each in status["attempts"]] == [(1, "yelp-2"), (2, "yelp-1")]


def test_only_the_newest_ten_attempts_are_kept_and_numbers_go_on() -> None:
    pods = [pod(number, state=terminated(1)) for number in range(1, 13)]
    before = compute(parsed(), observation(job(), *sorted(pods, key=lambda each: each["metadata"]["name"])), 200)

    status = compute(parsed(before), observation(job(), pod(13, state=running())), 210)

    assert [each["number"] for each in status["attempts"]] == list(range(4, 14))


def test_attempts_that_were_dropped_do_not_come_back_while_their_pods_are_kept() -> None:
    words = [{**FINAL, "exitCode": 1, "progress": {"step": number}} for number in range(1, 14)]
    pods = [pod(number, state=terminated(1, message=json.dumps(word))) for number, word in enumerate(words, 1)]

    first = compute(parsed(), observation(job(), *pods), 200)
    second = compute(parsed(first), observation(job(), *pods), 210)
    third = compute(parsed(second), observation(job(), *pods, pod(14, state=terminated(1))), 220)

    assert second == first
    assert first["progress"]["step"] == 13
    assert [(each["number"], each["pod"]) for each in third["attempts"]] == [(n, f"yelp-{n}") for n in range(5, 15)]


def test_an_attempt_that_somebody_numbered_as_high_as_can_be_is_followed_by_another() -> None:
    last = {"attempts": [{"number": 1_000_000, "pod": "yelp-1"}]}

    status = compute(parsed(last), observation(job(), pod(2, state=running())))

    assert [(each["number"], each["pod"]) for each in status["attempts"]] == [
        (1_000_000, "yelp-1"),
        (1_000_000, "yelp-2"),
    ]


def test_an_attempt_says_where_its_log_is_also_when_its_pod_is_gone() -> None:
    log = "pvc://yelp-0f9be1d4/logs/20261120T120020.000000Z-yelp-1.log"
    body = {"report": {"sequence": 1, "stage": "Training", "log": log}}
    running_pod = pod(state=running())

    during = compute(parsed(), observation(job(), running_pod, report=received(body, sender=running_pod)))
    after = compute(parsed(during), observation(job(), pod(2, state=running(70))), 80)

    assert [each.get("log") for each in (*during["attempts"], *after["attempts"])] == [log, log, None]


def test_the_final_report_brings_the_log_of_an_attempt_that_reported_nothing_else() -> None:
    log = "pvc://yelp-0f9be1d4/logs/20261120T120020.000000Z-yelp-1.log"
    ended = terminated(1, message=json.dumps({**FINAL, "exitCode": 1, "log": log}))

    status = compute(parsed(), observation(job(), pod(state=ended)), 95)

    assert status["attempts"][0]["log"] == log


def test_a_log_outside_of_the_output_is_refused() -> None:
    ended = terminated(1, message=json.dumps({**FINAL, "exitCode": 1, "log": "s3://attacker/logs/x.log"}))

    status = compute(parsed(), observation(job(), pod(state=ended)), 95)

    assert "log" not in status["attempts"][0]
    assert [each["reason"] for each in status["warnings"]] == ["OutsideOutput"]
