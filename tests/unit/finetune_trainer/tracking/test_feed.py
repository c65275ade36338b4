"""How points come to a tracker: by a fake one that says what it has."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from finetune_api.status import TrackedRun
from finetune_trainer.progress.history import History, Measured, Sent
from finetune_trainer.tracking import feed as feeds
from finetune_trainer.tracking.feed import Feed
from finetune_trainer.tracking.tracker import Outcome, TrackerFailure


class FakeTracker:
    """Keeps what it is sent. It raises `failures` one after the other when it is opened, and where it is `cut_off` once it has taken points."""

    name = "fake"
    url = "http://tracker/run"

    def __init__(self) -> None:
        self.points: list[tuple[str, int]] = []
        self.opened = 0
        self.outcome: Outcome | None = None
        self.failures: list[Exception] = []
        self.cut_off = False
        self.hangs = threading.Event()
        self.hangs.set()

    def open(self) -> Sent:
        self.hangs.wait()
        self.opened += 1
        self._fail()
        newest = {
            kind: max((step for each, step in self.points if each == kind), default=-1) for kind, _ in self.points
        }
        return Sent(**newest)

    def send(self, points: Sequence[Measured]) -> None:
        self.points += [(point.kind, point.step) for point in points]
        if self.cut_off:
            self.cut_off = False
            raise TrackerFailure("the connection was cut")

    def finish(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INTERVAL_SECONDS", "LONGEST_PAUSE_SECONDS", "_LAST_PAUSE_SECONDS"):
        monkeypatch.setattr(feeds, name, 0.01)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.jsonl")


def log(history: History, *steps: int) -> None:
    for step in steps:
        history.append("log", step, step / 10, {"loss": 1 / step})


def run_to_end(tracker: FakeTracker, history: History, outcome: Outcome = "finished") -> list[TrackedRun]:
    """Feed the tracker for one attempt. Returns what was reported of it."""
    reported: list[TrackedRun] = []
    feed = Feed(tracker, history, reported.append)
    feed.start()
    feed.finish(outcome, 60)
    return reported


ARRIVES = TrackedRun(tracker="fake", url="http://tracker/run")


def test_logs_and_evaluations_arrive_in_their_order_and_the_outcome_after_them(history: History) -> None:
    tracker = FakeTracker()
    log(history, 1, 2)
    history.append("evaluation", 2, 0.2, {"eval_loss": 1.0})
    history.append("adjustment", 2, 0.2, {"batch_size": 4})
    log(history, 3)

    reported = run_to_end(tracker, history)

    assert tracker.points == [("log", 1), ("log", 2), ("evaluation", 2), ("log", 3)]
    assert (tracker.outcome, reported) == ("finished", [ARRIVES])


def test_more_points_than_are_sent_at_once_all_arrive(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_POINTS", 3)
    tracker = FakeTracker()
    log(history, *range(1, 11))

    run_to_end(tracker, history)

    assert tracker.points == [("log", step) for step in range(1, 11)]


def test_steps_that_a_resumed_run_repeats_are_not_sent_again(history: History) -> None:
    tracker = FakeTracker()
    log(history, 1, 2, 3, 4)
    history.append("evaluation", 2, 0.2, {"eval_loss": 1.0})
    run_to_end(tracker, history, "failed")

    history.resume(2)  # the checkpoint: 3 and 4 come again
    log(history, 3, 4, 5)
    history.append("evaluation", 4, 0.4, {"eval_loss": 0.5})
    run_to_end(tracker, history)

    assert sorted(tracker.points) == [("evaluation", 2), ("evaluation", 4), *[("log", step) for step in range(1, 6)]]


def test_points_that_arrived_though_their_answer_did_not_are_not_sent_again(history: History) -> None:
    tracker = FakeTracker()
    log(history, 1, 2)
    feed = Feed(tracker, history, lambda run: None)
    tracker.cut_off = True
    feed.start()
    feed.finish("finished", 60)

    assert (tracker.points, tracker.opened) == ([("log", 1), ("log", 2)], 2)


def test_a_failure_is_reported_once_and_taken_back_when_points_arrive_again(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = FakeTracker()
    tracker.failures = [TrackerFailure("it answers 401"), TrackerFailure("it answers 401"), ValueError("what\nis this")]
    log(history, 1)

    reported = run_to_end(tracker, history)

    assert reported == [
        ARRIVES.model_copy(update={"message": "points do not arrive yet: it answers 401"}),
        ARRIVES.model_copy(update={"message": "points do not arrive yet: ValueError: what is this"}),
        ARRIVES,
    ]
    assert caplog.text.count("401") == 1


def test_a_tracker_that_hangs_is_left_at_the_end_and_what_has_not_arrived_is_counted(history: History) -> None:
    tracker = FakeTracker()
    tracker.hangs.clear()
    log(history, 1, 2, 3)
    reported: list[TrackedRun] = []
    feed = Feed(tracker, history, reported.append)

    feed.start()
    feed.finish("finished", 0.05)

    assert [run.message for run in reported] == ["3 of 3 points have not arrived: it takes too long"]
    tracker.hangs.set()


def test_a_tracker_that_hangs_once_it_has_all_points_is_said_to_lack_something(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = FakeTracker()
    finishes, go_on = threading.Event(), threading.Event()

    def finish(outcome: Outcome) -> None:
        finishes.set()
        go_on.wait()

    monkeypatch.setattr(tracker, "finish", finish)
    log(history, 1, 2, 3)
    reported: list[TrackedRun] = []
    feed = Feed(tracker, history, reported.append)

    feed.start()
    ends = threading.Thread(target=feed.finish, args=("finished", 1.0))
    ends.start()
    finishes.wait()
    ends.join()

    assert reported == [ARRIVES, ARRIVES.model_copy(update={"message": "not all has arrived: it takes too long"})]
    go_on.set()


def test_an_attempt_that_follows_sends_what_has_not_arrived(history: History) -> None:
    tracker = FakeTracker()
    tracker.hangs.clear()
    log(history, 1, 2)
    feed = Feed(tracker, history, lambda run: None)
    feed.start()
    feed.finish("stopped", 0.05)
    other = FakeTracker()  # the same place, which answers now

    history.resume(2)
    run_to_end(other, history)

    assert other.points == [("log", 1), ("log", 2)]
    tracker.hangs.set()
