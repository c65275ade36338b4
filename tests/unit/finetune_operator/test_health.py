"""Both probes fail when something is wrong, and say what."""

import asyncio

import aiohttp
import pytest

from finetune_operator.health import Heartbeat, serve_health, silence_check
from finetune_operator.reports.connections import Bounds


async def ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_a_stale_watch_fails_both_probes_and_a_missing_list_only_readiness() -> None:
    silence = 1.0
    listed = False
    server = await serve_health(
        "127.0.0.1",
        0,
        alive=[silence_check("watch of Pods", lambda: silence)],
        ready=[lambda: None if listed else "the first lists have not come yet"],
    )
    port = server.port
    answers = [await ask(port, "/healthz"), await ask(port, "/readyz")]
    listed = True
    answers += [await ask(port, "/readyz")]
    silence = 900.0
    answers += [await ask(port, "/healthz"), await ask(port, "/readyz")]
    await server.close()

    assert answers == [
        (200, "ok\n"),
        (503, "the first lists have not come yet\n"),
        (200, "ok\n"),
        (503, "watch of Pods: nothing for 900 s\n"),
        (503, "watch of Pods: nothing for 900 s\n"),
    ]


async def test_a_heart_beats_while_the_loop_turns() -> None:
    heartbeat = Heartbeat()
    task = asyncio.create_task(heartbeat.run())
    await asyncio.sleep(0)

    assert heartbeat.check() is None
    task.cancel()


async def test_a_probe_gets_in_however_many_connections_are_held_open() -> None:
    server = await serve_health("127.0.0.1", 0, alive=[], ready=[])
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(200)]

    answers = [await ask(server.port, path) for path in ("/healthz", "/readyz", "/", "/%00")]

    assert [status for status, _ in answers] == [200, 200, 404, 404]
    for _, writer in held:
        writer.close()
    await server.close()


async def test_a_connection_that_asks_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_operator.health.BOUNDS", Bounds(total=4, per_address=4, patience_seconds=0.05))
    server = await serve_health("127.0.0.1", 0, alive=[], ready=[])
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /healthz HT")

    assert await reader.read() == b""
    writer.close()
    await server.close()
