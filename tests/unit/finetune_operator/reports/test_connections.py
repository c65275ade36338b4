"""However many connections are held open, the newest one is served, and those of others are not the ones that go."""

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from finetune_operator.metrics.instruments import REGISTRY
from finetune_operator.reports.connections import Bounds, Listener, listen

CLOSED = "finetune_connections_closed_total"
Connect = Callable[[str], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener(listen("127.0.0.1", 0), Echo, Bounds(total=6, per_address=4), None)
    yield listener
    listener.close()
    listener.drop_all()


@pytest.fixture
async def connect(listener: Listener) -> AsyncIterator[Connect]:
    writers = []

    async def open_from(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, local_addr=(address, 0))
        writers.append(writer)
        return reader, writer

    yield open_from
    for writer in writers:
        writer.close()


async def answers(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    """Whether the other side still speaks on a connection."""
    reader, writer = connection
    try:
        writer.write(b"?")
        return await reader.read(1) == b"?"
    except ConnectionError:
        return False


@pytest.mark.parametrize(
    ("addresses", "closed"),
    [
        (["127.0.0.1"] * 6, {"address": 2.0, "all": 0.0}),
        (["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.4"], {"address": 0.0, "all": 1.0}),
    ],
)  # fmt: skip
async def test_connections_that_make_room_are_counted_by_the_bound(
    connect: Connect, addresses: list[str], closed: dict[str, float]
) -> None:
    def counted() -> dict[str, float]:
        names = {bound: {"bound": bound} for bound in closed}
        return {bound: REGISTRY.get_sample_value(CLOSED, labels) or 0.0 for bound, labels in names.items()}

    before = counted()
    for address in addresses:
        await connect(address)

    async def grown() -> dict[str, float]:
        await asyncio.sleep(0.01)
        return {bound: count - before[bound] for bound, count in counted().items()}

    async with asyncio.timeout(60):
        while await grown() != closed:
            pass


async def test_of_one_address_the_oldest_connection_makes_room(listener: Listener, connect: Connect) -> None:
    connections = [await connect("127.0.0.1") for _ in range(5)]

    newest = await answers(connections[-1])

    assert (newest, [await answers(each) for each in connections[:-1]]) == (True, [False, True, True, True])
    assert listener.open == 4


async def test_when_all_are_taken_the_address_that_has_most_makes_room(listener: Listener, connect: Connect) -> None:
    quiet = await connect("127.0.0.2")
    assert await answers(quiet)
    crowd = [await connect("127.0.0.3") for _ in range(4)]
    assert await answers(crowd[-1])

    newcomers = [await connect(f"127.0.0.{number}") for number in (4, 5, 6)]

    assert [await answers(each) for each in newcomers] == [True] * 3
    assert [await answers(each) for each in crowd] == [False, False, True, True]
    assert await answers(quiet)
    assert listener.open == 6


async def test_a_connection_that_ends_makes_room(listener: Listener, connect: Connect) -> None:
    for _ in range(20):
        connection = await connect("127.0.0.1")
        assert await answers(connection)
        connection[1].close()
        await connection[1].wait_closed()

    assert await answers(await connect("127.0.0.1"))
    assert listener.open <= 2  # the last of those that ended may not have been noticed yet


async def test_a_connection_on_which_nothing_is_sent_is_given_to_nobody_and_soon_closed() -> None:
    made: list[Echo] = []

    def make() -> Echo:
        made.append(Echo())
        return made[-1]

    listener = Listener(listen("127.0.0.1", 0), make, Bounds(6, 4, patience_seconds=0.05), None)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)

    assert await reader.read() == b""
    assert (made, listener.open) == ([], 0)
    writer.close()
    listener.close()


class FewDescriptors(socket.socket):
    """Accepts nothing at first."""

    failures = 3

    def accept(self) -> tuple[socket.socket, Any]:
        self.failures -= 1
        if self.failures >= 0:
            raise OSError(24, "Too many open files")
        return super().accept()


async def test_without_a_descriptor_the_others_go_on_and_the_log_is_short(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("finetune_operator.reports.connections._PAUSE_SECONDS", 0.0)
    listener = Listener(FewDescriptors(fileno=listen("127.0.0.1", 0).detach()), Echo, Bounds(6, 4), None)

    first, second = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(2)]

    assert [await answers(each) for each in (first, second)] == [True] * 2
    assert [each.levelno for each in caplog.records] == [logging.WARNING] * 3
    for _, writer in (first, second):
        writer.close()
    listener.close()


async def test_nothing_is_accepted_after_the_close_and_what_is_open_goes_on(
    listener: Listener, connect: Connect
) -> None:
    open_before = await connect("127.0.0.1")
    assert await answers(open_before)

    listener.close()

    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        await connect("127.0.0.1")
    assert await answers(open_before)


async def test_a_connection_that_comes_in_the_moment_of_the_close_is_refused_and_no_error() -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    listener = Listener(listen("127.0.0.1", 0), Echo, Bounds(total=6, per_address=4), None)
    await asyncio.sleep(0.01)
    with socket.create_connection(("127.0.0.1", listener.port)) as client:
        await asyncio.sleep(0)  # from here the loop knows of the connection, and has not taken it yet

        listener.close()

        client.setblocking(False)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 60)
    assert errors == []


async def test_a_connection_that_meets_what_nobody_has_thought_of_gives_its_place_back(
    listener: Listener, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, met = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: met.append(context.get("exception")))

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("closed Transport handle and unset waiter")

    monkeypatch.setattr(loop, "connect_accepted_socket", broken)
    answered = await answers(await connect("127.0.0.1"))
    monkeypatch.undo()
    gc.collect()

    assert (answered, listener.open, [str(each) for each in met]) == (
        False,
        0,
        ["closed Transport handle and unset waiter"],
    )
    assert await answers(await connect("127.0.0.1"))
