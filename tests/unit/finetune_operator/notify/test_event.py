"""What a receiver is told."""

import html
import json
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import UID, job, observation, parsed, pod, settled, terminated
from tests.unit.finetune_operator.status.statuses import FINAL, compute

from finetune_api.printable import printable
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.notify.event import cloud_event, event_id, slack_message

ENDED = pod(state=terminated(0, "Completed", json.dumps(FINAL)))
SUCCEEDED = parsed(compute(parsed(settled()), observation(job(end=("Complete", "", "")), ENDED), 101))
KILLED = pod(state=terminated(137))
FAILED = parsed(compute(parsed(settled()), observation(job(end=("Failed", "BackoffLimitExceeded", "")), KILLED), 101))


def failed_with(**failure: Any) -> FineTuneJob:
    return parsed({"phase": "Failed", "failure": {"reason": "RowFails", "message": "m", **failure}})


def test_a_success_is_a_cloud_event_with_what_came_of_the_run() -> None:
    event = cloud_event(SUCCEEDED)

    assert {name: event[name] for name in event if name != "data"} == {
        "specversion": "1.0",
        "id": f"{UID}-1-succeeded",
        "source": "/apis/finetune.dev/v1alpha1/namespaces/team-a/finetunejobs",
        "subject": "yelp",
        "type": "dev.finetune.finetunejob.succeeded",
        "time": "2026-11-20T12:01:40Z",
        "datacontenttype": "application/json",
    }
    data = event["data"]
    assert data["job"] == {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "namespace": "team-a",
        "name": "yelp",
        "uid": UID,
    }
    assert (data["phase"], data["run"]["number"], data["progress"]["step"]) == ("Succeeded", 1, 375)
    assert data["metrics"] == FINAL["metrics"]
    assert data["model"]["uri"] == FINAL["model"]["uri"]
    assert "failure" not in data


def test_a_failure_says_why_and_what_to_do_and_has_no_log() -> None:
    event = cloud_event(failed_with(hint="do", exitCode=65, logTail="a secret of the log"))

    assert (event["type"], event["id"]) == ("dev.finetune.finetunejob.failed", f"{UID}-1-failed")
    assert event["data"]["failure"] == {"reason": "RowFails", "message": "m", "hint": "do", "exitCode": 65}


def test_each_run_of_a_job_has_an_event_of_its_own_and_none_has_a_full_stop() -> None:
    second = parsed({"phase": "Failed", "run": {"number": 2, "token": "2"}}, runToken="2")

    assert event_id(FAILED) == f"{UID}-1-failed"
    assert event_id(second) == f"{UID}-2-failed"
    assert "." not in event_id(second)


def test_a_channel_is_told_in_one_line() -> None:
    assert slack_message(SUCCEEDED)["text"] == (
        "`team-a/yelp` succeeded · after 1 min 39 s · `loss 0.5234, eval_accuracy 0.9100` · model at `pvc://yelp-0f9be1d4/model`"
    )
    assert slack_message(failed_with(hint="do"))["text"] == "`team-a/yelp` failed: `RowFails` · `m` · `do`"


def test_a_channel_is_told_how_well_it_went_and_by_what_the_best_was_chosen_first() -> None:
    names = ("learning_rate", "grad_norm", "loss", "eval_loss", "eval_precision", "eval_recall", "eval_f1")
    ended = {
        "phase": "Succeeded",
        "metrics": [{"name": name, "value": "0.5"} for name in names],
        "bestCheckpoint": {"step": 1, "uri": "s3://b/1", "metric": "eval_f1", "value": "0.5"},
    }

    text = slack_message(parsed(ended))["text"]

    assert "`loss 0.5, eval_f1 0.5, eval_loss 0.5, eval_precision 0.5`" in text


@pytest.mark.parametrize(
    "hostile",
    [
        "<!channel> <https://evil.example|click>",
        "&lt;!channel&gt;",
        "<@U123>",
        "\n*fat*\n> quote",
        "@channel @here @all",  # mentions to Mattermost
        "[click](https://evil.example) ![seen](https://evil.example/pixel.png) www.evil.example",
        "`` ` @channel `` ```\n@here",
    ],
)
def test_what_others_wrote_mentions_nobody_and_links_to_nothing(hostile: str) -> None:
    text = slack_message(failed_with(message=hostile, hint=hostile))["text"]

    assert not {"<", ">", "\n"} & set(text)
    said = printable(hostile).replace("`", "'")
    outside, inside = text.split("`")[::2], text.split("`")[1::2]
    assert outside == ["", " failed: ", " · ", " · ", ""]
    assert [html.unescape(each) for each in inside] == ["team-a/yelp", "RowFails", said, said]


def test_a_message_that_is_cut_is_code_to_its_end() -> None:
    text = slack_message(failed_with(message="&" * 500 + "@channel", hint="x" * 1000 + "@here"))["text"]

    assert text.split("`")[::2] == ["", " failed: ", " · ", " · ", ""]
    assert text.endswith("…`")


def test_the_largest_event_is_small() -> None:
    job = failed_with(message="é" * 1024, hint="é" * 1024, logTail="x" * 2048)

    assert len(json.dumps(cloud_event(job)).encode()) < 20_000
    assert len(slack_message(job)["text"]) <= 2000
