"""What trackio is told of a run, by a server in this process that answers as trackio does."""

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.trackio_server import TOKEN, FakeTrackio

from finetune_api.run import RunConfig
from finetune_api.status import TrackedRun
from finetune_trainer.progress.history import History
from finetune_trainer.storage.find_output import open_output
from finetune_trainer.storage.output import Output
from finetune_trainer.tracking import feed as feeds
from finetune_trainer.tracking.feed import Feed
from finetune_trainer.tracking.tracker import Description, Tracker
from finetune_trainer.tracking.trackio import TrackioFiles, TrackioServer

RUN = Description(
    id="0123456789abcdef", title="yelp", parameters={"training.epochs": "3"}, tags={"finetune.seed": "42"}
)
CONFIG = {"training.epochs": "3", "finetune.seed": "42"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INTERVAL_SECONDS", "LONGEST_PAUSE_SECONDS", "_LAST_PAUSE_SECONDS"):
        monkeypatch.setattr(feeds, name, 0.01)


@pytest.fixture
def server() -> Iterator[FakeTrackio]:
    with FakeTrackio() as server:
        yield server


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Three logs, and an evaluation at the step of the third."""
    made = History(tmp_path / "history.jsonl")
    for step in (1, 2, 3):
        made.append("log", step, step / 3, {"loss": 1 / step})
    made.append("evaluation", 3, 1.0, {"eval_loss": 0.5})
    return made


@pytest.fixture
def output(tmp_path: Path) -> Output:
    config = RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "org/name"},
            "dataset": {"source": "org/data", "train": {"split": "train"}},
            "output": {"uri": f"file://{tmp_path}/out"},
        }
    )
    return open_output(config.output.uri, config.identity(), {})


def at(uri: str, credentials: Mapping[str, str] | None = None) -> TrackioServer:
    return TrackioServer(uri, "reviews", RUN, lambda: {"TRACKIO_WRITE_TOKEN": TOKEN} if credentials is None else credentials)  # fmt: skip


def feed(tracker: Tracker, history: History) -> list[TrackedRun]:
    """Feed the tracker for one attempt. Returns what was reported of it."""
    reported: list[TrackedRun] = []
    fed = Feed(tracker, history, reported.append)
    fed.start()
    fed.finish("finished", 60)
    return reported


def feed_in_vain(tracker: Tracker, history: History) -> list[TrackedRun]:
    """Feed a tracker that takes nothing until it is known why, and end the attempt. Returns what was reported of it."""
    reported: list[TrackedRun] = []
    failed = threading.Event()

    def report(run: TrackedRun) -> None:
        reported.append(run)
        if run.message:
            failed.set()

    fed = Feed(tracker, history, report)
    fed.start()
    assert failed.wait(60)
    fed.finish("finished", 0)
    return reported


POINTS = [
    {"train/epoch": 0.3333, "train/loss": 1.0, "step": 1},
    {"train/epoch": 0.6667, "train/loss": 0.5, "step": 2},
    {"train/epoch": 1.0, "train/loss": 1 / 3, "step": 3},
    {"eval/loss": 0.5, "step": 3},
]


def test_a_run_has_its_settings_and_each_point_at_the_server(server: FakeTrackio, history: History) -> None:
    reported = feed(at(f"{server.uri}/"), history)

    assert reported == [TrackedRun(tracker="trackio", url=f"{server.uri}/?project=reviews")]
    assert server.run("reviews") == {"name": "yelp", "id": RUN.id, "config": CONFIG, "points": POINTS}


def test_the_next_attempt_goes_on_after_the_newest_step_and_the_values_of_the_first_time_stay(
    server: FakeTrackio, history: History
) -> None:
    feed(at(server.uri), history)
    history.resume(1)
    for step in (2, 3, 4):
        history.append("log", step, step / 3, {"loss": 7.0})
    history.append("evaluation", 4, 1.3, {"eval_loss": 0.4})

    feed(at(server.uri), history)

    later = [{"train/epoch": 1.3333, "train/loss": 7.0, "step": 4}, {"eval/loss": 0.4, "step": 4}]
    assert server.run("reviews")["points"] == [*POINTS, *later]


def test_points_whose_answer_was_lost_are_there_once(server: FakeTrackio, history: History) -> None:
    answers = iter([500, 500])
    server.refuse = lambda what: next(answers, None) if what == "bulk_log" else None

    reported = feed(at(server.uri), history)

    assert server.run("reviews")["points"] == POINTS
    assert [run.message for run in reported[-2:]] == [
        f"points do not arrive yet: {server.uri} answers bulk_log with 500",
        None,
    ]


@pytest.mark.parametrize("credentials", [{}, {"TRACKIO_WRITE_TOKEN": "wrong"}])
def test_a_token_that_is_not_taken_is_said(server: FakeTrackio, history: History, credentials: dict[str, str]) -> None:
    reported = feed_in_vain(at(server.uri, credentials), history)

    assert reported[-1].message == (
        f"4 of 4 points have not arrived: {server.uri} refuses the credentials (400): check the Secret of tracking.secretRef, outside a cluster the environment"
    )
    assert "wrong" not in str(reported)


@pytest.mark.parametrize(
    ("uri", "is_sent"),
    [
        ("https://team-a-runs.hf.space", True),
        ("https://team-a-runs.hf.space/", True),
        ("http://team-a-runs.hf.space", False),
        ("https://team-a-runs.hf.space.evil.example", False),
        ("https://evil.example/x.hf.space", False),
        ("https://trackio.corp.example", False),
    ],
)
def test_a_token_of_the_hub_goes_to_spaces_alone(
    uri: str, is_sent: bool, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []

    def ask(self: object, method: str, url: str, **what: Any) -> Any:
        sent.append(what["headers"])
        raise OSError("no network here")

    monkeypatch.setattr("requests.Session.request", ask)

    feed_in_vain(at(uri, {"HF_TOKEN": "hf_x"}), history)

    assert sent[0] == ({"Authorization": "Bearer hf_x"} if is_sent else {})


def records(output: Output) -> list[dict[str, Any]]:
    (file,) = [path for path in (output.path / "trackio").rglob("*") if path.is_file()]
    assert file == output.path / "trackio" / "inbox" / RUN.id / "00000000.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_without_a_server_records_for_its_dashboard_lie_in_the_output(output: Output, history: History) -> None:
    reported = feed(TrackioFiles("reviews", output, RUN), history)

    assert reported == [TrackedRun(tracker="trackio", url=f"{output.uri}/trackio")]
    first, *_, last = records(output)
    assert first.pop("timestamp").endswith("+00:00")
    assert first == {
        "v": 1,
        "kind": "metric",
        "project": "reviews",
        "run": "yelp",
        "run_id": RUN.id,
        "metrics": {"train/epoch": 0.3333, "train/loss": 1.0},
        "step": 1,
        "config": CONFIG,
        "log_id": f"{RUN.id}-log-1",
    }
    assert (last["metrics"], last["log_id"], last["config"]) == ({"eval/loss": 0.5}, f"{RUN.id}-evaluation-3", None)


def test_what_a_resumed_run_takes_back_is_in_no_record_and_a_file_that_was_taken_in_comes_again(
    output: Output, history: History
) -> None:
    feed(TrackioFiles("reviews", output, RUN), history)
    (output.path / "trackio" / "inbox" / RUN.id / "00000000.jsonl").unlink()  # as a dashboard does
    history.resume(2)

    feed(TrackioFiles("reviews", output, RUN), history)

    assert [each["log_id"] for each in records(output)] == [f"{RUN.id}-log-1", f"{RUN.id}-log-2"]
