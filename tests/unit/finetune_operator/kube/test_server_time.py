"""Whatever our own clock shows, a job's deadlines and durations are by the clock that its objects' times are of."""

from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from functools import partial

import aiohttp
import pytest
from aiohttp import web

from finetune_operator.kube import request_counts, server_time
from finetune_operator.kube.request_counts import counting
from finetune_operator.kube.server_time import ServerTime

OURS = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def date(**ahead: float) -> str:
    return format_datetime(OURS + timedelta(**ahead), usegmt=True)


@pytest.mark.parametrize("hours", [-12.0, -0.05, 0.05, 12.0])
def test_times_are_by_the_clock_of_the_api_server_however_far_it_is_from_ours(hours: float) -> None:
    time = ServerTime()

    time.note(date(hours=hours), OURS, took=0.1)

    assert time.at(OURS) == OURS + timedelta(hours=hours)


def test_clocks_that_agree_as_far_as_a_date_tells_are_taken_to_agree() -> None:
    time = ServerTime()

    for seconds in (-1.5, 0.0, 1.5):
        time.note(date(seconds=seconds), OURS, took=0.1)

    assert time.at(OURS) == OURS


def test_an_answer_that_was_long_on_its_way_or_has_no_date_changes_nothing() -> None:
    time = ServerTime()
    time.note(date(hours=3), OURS, took=0.1)

    time.note(date(hours=2), OURS, took=30.0)
    for odd in (None, "", "yesterday", "99", "Fri, 01 May 99999999999999999999 12:00:00 GMT"):
        time.note(odd, OURS, took=0.1)

    assert time.at(OURS) == OURS + timedelta(hours=3)


def test_a_clock_that_is_set_right_is_followed_and_one_that_stays_does_not_jitter() -> None:
    time = ServerTime()
    seen = []

    for ahead in (3600.0, 3601.0, 3599.0, 0.0):
        time.note(date(seconds=ahead), OURS, took=0.1)
        seen.append((time.at(OURS) - OURS).total_seconds())

    assert seen == [3600.0, 3600.0, 3600.0, 0.0]


def test_of_several_api_servers_one_whose_clock_is_wrong_is_not_followed() -> None:
    time = ServerTime()
    seen = set()

    for ahead in (0.0, 3600.0, 3600.0, -0.5, 3600.0, 0.5) * 10:
        time.note(date(seconds=ahead), OURS, took=0.1)
        seen.add(time.at(OURS) - OURS)

    assert seen == {timedelta()}


@pytest.mark.parametrize("hours", [-2, 2])
def test_our_own_clock_may_be_set_in_mid_run(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Set(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Set":
            return super().now(tz) + timedelta(hours=hours)

    before = server_time.ours()
    monkeypatch.setattr(server_time, "datetime", Set)

    assert abs(server_time.ours() - before) < timedelta(hours=1)


def test_when_all_api_servers_answer_with_another_time_they_are_followed_after_some_answers() -> None:
    time = ServerTime()

    for ahead in (0.0, *[-3600.0] * 16):
        time.note(date(seconds=ahead), OURS, took=0.1)

    assert time.at(OURS) - OURS == timedelta(hours=-1)


async def test_every_answer_to_a_request_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_operator.kube.request_counts.SERVER_TIME", ServerTime())
    app = web.Application()
    late = format_datetime(datetime.now(UTC) - timedelta(hours=5), usegmt=True)
    app.router.add_get("/api/v1/pods", partial(_answer, late))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()

    async with aiohttp.ClientSession(middlewares=[counting]) as session:
        (await session.get(f"http://127.0.0.1:{site.port}/api/v1/pods")).release()
    await runner.cleanup()

    behind = datetime.now(UTC) - request_counts.SERVER_TIME.at(datetime.now(UTC))
    assert timedelta(hours=4, minutes=59) < behind < timedelta(hours=5, minutes=1)


async def _answer(date: str, _: web.Request) -> web.Response:
    return web.Response(headers={"Date": date})
