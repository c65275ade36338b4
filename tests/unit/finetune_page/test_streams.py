"""What a stream sends, and that nothing of it goes on when the browser has left."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from finetune.errors import NotAllowed
from finetune_page import streams
from finetune_page.streams import Item, Items, send_events


def item(number: int, key: str | None = None) -> Item:
    return Item(key or number, lambda: {"number": number})


@asynccontextmanager
async def streaming(items: Callable[[], Items]) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await send_events(request, items())

    app = web.Application()
    app.router.add_get("/", handler)
    async with TestClient(TestServer(app)) as client:
        yield client


async def sent(items: Callable[[], Items]) -> list[tuple[str, object]]:
    """Every event of a stream that ends, with its name."""
    async with streaming(items) as client:
        text = await (await client.get("/")).text()
    lines = [line.partition(": ") for line in text.splitlines()]
    names = [value for name, _, value in lines if name == "event"]
    return [*zip(names, [json.loads(value) for name, _, value in lines if name == "data"], strict=True)]


async def test_what_comes_together_is_sent_together_and_the_end_is_told() -> None:
    async def items() -> Items:
        for number in range(3):
            yield item(number)

    assert await sent(items) == [("items", [{"number": 0}, {"number": 1}, {"number": 2}]), ("end", {})]


async def test_of_what_changes_faster_than_it_is_read_the_newest_alone_is_made_and_sent() -> None:
    made = []

    def change(number: int) -> Item:
        return Item("job", lambda: made.append(number) or {"number": number})  # type: ignore[func-returns-value]

    async def items() -> Items:
        yield item(0, "another")
        for number in range(5000):
            yield change(number)

    assert await sent(items) == [("items", [{"number": 0}, {"number": 4999}]), ("end", {})]
    assert made == [4999]


async def test_what_came_last_is_sent_last_also_where_an_older_one_of_its_key_waited() -> None:
    async def items() -> Items:
        yield item(0, "synced")
        yield item(1, "gone")
        yield item(2, "synced")

    assert await sent(items) == [("items", [{"number": 1}, {"number": 2}]), ("end", {})]


async def test_an_error_of_the_cluster_comes_after_what_was_there_before_it() -> None:
    async def items() -> Items:
        yield item(0)
        raise NotAllowed("you may not list")

    assert await sent(items) == [
        ("items", [{"number": 0}]),
        ("failure", {"code": 403, "message": "you may not list"}),
        ("end", {}),
    ]


async def test_a_fault_of_the_page_ends_the_stream_and_is_told() -> None:
    async def items() -> Items:
        yield item(0)
        raise ZeroDivisionError

    assert [name for name, _ in await sent(items)] == ["items", "failure", "end"]


async def test_more_than_fits_is_sent_in_parts_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_MOST", 2)
    monkeypatch.setattr(streams, "_PAUSE", 0.0)

    async def items() -> Items:
        for number in range(5):
            yield item(number)

    parts = [data for name, data in await sent(items) if name == "items"]

    assert [item["number"] for part in parts if isinstance(part, list) for item in part] == [0, 1, 2, 3, 4]
    assert all(isinstance(part, list) and len(part) <= 2 for part in parts)


async def test_a_watch_in_which_nothing_happens_ends_when_the_browser_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_PING", 0.01)
    ended = asyncio.Event()

    async def items() -> Items:
        try:
            yield item(0)
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with streaming(items) as client:
        response = await client.get("/")
        await response.content.readuntil(b"\r\n\r\n")
        response.close()

        await asyncio.wait_for(ended.wait(), 60)
