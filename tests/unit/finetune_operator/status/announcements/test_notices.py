"""Who is to be told of an end, and for how long."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.finetune_operator.samples import at, job, observation, parsed, pod, settled, stamp, terminated
from tests.unit.finetune_operator.status.statuses import compute

from finetune_api.profile import OPEN, Defaults, FineTuneProfileSpec
from finetune_api.status import FineTuneJobStatus, Notification
from finetune_operator.status.announcements.job_event import notification_event
from finetune_operator.status.announcements.notices import MAX_ATTEMPTS, Answer, after_attempt, take_in

CHAT: dict[str, Any] = {"name": "chat", "slack": {}}
CI: dict[str, Any] = {"name": "ci", "phases": ["Failed"], "webhook": {"url": "https://ci.example/hook"}}
FAILED = observation(job(end=("Failed", "BackoffLimitExceeded", "")), pod(state=terminated(137)))
SUCCEEDED = observation(job(end=("Complete", "", "")), pod(state=terminated(0)))
DOWN = Answer(message="it answers 503 Service Unavailable")


@pytest.mark.parametrize(
    ("end", "told"), [(FAILED, ["chat", "ci"]), (SUCCEEDED, ["chat"])], ids=["failed", "succeeded"]
)
def test_the_status_that_says_how_a_run_ended_says_who_is_to_be_told(end: Any, told: list[str]) -> None:
    status = compute(parsed(settled(), notify=[CHAT, CI]), end)

    assert status["notifications"] == [{"target": name, "state": "Pending", "attempts": 0} for name in told]


def test_nobody_is_told_before_the_end() -> None:
    assert "notifications" not in compute(parsed(settled(), notify=[CHAT]), observation(job(), pod()))


def test_a_job_that_ended_before_anybody_was_to_be_told_stays_unannounced() -> None:
    ended = compute(parsed(settled()), FAILED)

    assert "notifications" not in compute(parsed(ended, notify=[CHAT]), FAILED)


def test_a_job_that_no_profile_took_announces_nothing() -> None:
    status = compute(parsed({}, notify=[CHAT]), FAILED)

    assert status["phase"] == "Failed"
    assert "notifications" not in status


def test_the_profile_s_are_told_too_unless_the_job_has_one_of_that_name() -> None:
    theirs = [{"name": "audit", "slack": {}}, {**CHAT, "phases": ["Failed"]}]
    profile = FineTuneProfileSpec(defaults=Defaults.model_validate({"notify": theirs}), notify=OPEN.notify)

    status = compute(parsed(settled(profile), notify=[CHAT]), SUCCEEDED)

    assert [each["target"] for each in status["notifications"]] == ["audit", "chat"]


def test_what_was_tried_gets_into_the_status_of_a_job_that_has_ended() -> None:
    ended = compute(parsed(settled(), notify=[CHAT, CI]), FAILED)
    tried = (Notification(target="ci", state="Delivered", attempts=1, last_attempt_time=at(120)),)

    status = compute(parsed(ended, notify=[CHAT, CI]), observation(tried=tried))

    assert status["notifications"] == [
        {"target": "chat", "state": "Pending", "attempts": 0},
        {"target": "ci", "state": "Delivered", "attempts": 1, "lastAttemptTime": stamp(120)},
    ]


def test_what_was_tried_earlier_takes_nothing_back() -> None:
    written = Notification(target="ci", state="Delivered", attempts=2)

    assert take_in([written], [Notification(target="ci", attempts=1)]) == [written]


def test_attempts_come_ever_more_seldom_for_a_day_and_then_it_is_given_up() -> None:
    told, now, moments = Notification(target="ci"), datetime(2026, 11, 29, tzinfo=UTC), list[datetime]()
    while told.state == "Pending":
        moments.append(now)
        told = after_attempt(told, DOWN, now)
        now = told.next_attempt_time or now

    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    assert waits[:4] == [5, 10, 20, 40]
    assert max(waits) == waits[-1] == 3600
    assert timedelta(hours=24) <= moments[-1] - moments[0] < timedelta(hours=26)
    assert (told.state, told.attempts, told.message) == ("GivenUp", MAX_ATTEMPTS, DOWN.message)


def test_a_receiver_that_is_gone_is_given_up_at_once() -> None:
    told = after_attempt(Notification(target="ci"), Answer(message="it answers 410 Gone", final=True), at(0))

    assert (told.state, told.next_attempt_time) == ("GivenUp", None)


@given(asked=st.floats(0, 1e9), attempts=st.integers(0, MAX_ATTEMPTS - 2))
def test_a_receiver_may_ask_for_a_pause_of_an_hour_at_the_most(asked: float, attempts: int) -> None:
    pending = Notification(target="ci", attempts=attempts)

    told = after_attempt(pending, Answer(message="429", retry_after=asked), at(0))

    assert told.next_attempt_time is not None
    wait = (told.next_attempt_time - at(0)).total_seconds()
    assert min(asked, 3600) <= wait + 1e-6
    assert 5 <= wait <= 3600


def test_a_hostile_message_is_short_and_can_be_shown() -> None:
    told = after_attempt(Notification(target="ci"), Answer(message="\x1b[31m\u202e" + "x" * 999), at(0))

    assert told.message is not None
    assert told.message == Notification.model_validate(told.to_wire()).message
    assert len(told.message) == 256
    assert told.message.isprintable()


def test_an_event_says_who_could_not_be_told() -> None:
    lost = Notification(target="ci", state="GivenUp", attempts=34, message="no answer within 10 s")
    before = parsed({"notifications": [{"target": "ci", "attempts": 33}]})

    event: Any = notification_event(before, FineTuneJobStatus(notifications=[lost]), at(0))

    assert (event["type"], event["reason"]) == ("Warning", "NotificationFailed")
    assert event["message"] == "ci is not told after 34 attempts: no answer within 10 s"
    after = parsed({"notifications": [lost.to_wire()]})
    assert notification_event(after, FineTuneJobStatus(notifications=[lost]), at(0)) is None
