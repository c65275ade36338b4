"""Both probes fail when something is wrong, and say what."""

import asyncio

import aiohttp

from finetune_operator.health import Heartbeat, serve_health, silence_check


async def ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_a_stale_watch_fails_both_probes_and_a_missing_list_only_readiness() -> None:
    silence = 1.0
    listed = False
    runner = await serve_health(
        "127.0.0.1",
        0,
        alive=[silence_check("watch of Pods", lambda: silence)],
        ready=[lambda: None if listed else "the first lists have not come yet"],
    )
    port = runner.addresses[0][1]
    answers = [await ask(port, "/healthz"), await ask(port, "/readyz")]
    listed = True
    answers += [await ask(port, "/readyz")]
    silence = 900.0
    answers += [await ask(port, "/healthz"), await ask(port, "/readyz")]
    await runner.cleanup()

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
