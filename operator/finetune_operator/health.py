"""/healthz and /readyz. They fail when the event loop lags or a watch is silent: a probe that always succeeds is none."""

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

from finetune_operator.reports.connections import Bounds
from finetune_operator.reports.serving import Server, serve

_BEAT_SECONDS = 1.0
_LONGEST_LAG_SECONDS = 10.0
_LONGEST_SILENCE_SECONDS = 240.0
"""More than two missed bookmarks and a new list."""
BOUNDS = Bounds(total=64, per_address=32)
"""A kubelet opens a connection for each probe, and the newest connection always gets in."""

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""


class Heartbeat:
    """Measures how long the event loop was busy with something else."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._last = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)

    def check(self) -> str | None:
        """A Check: whether the last beat is too long ago."""
        lag = time.monotonic() - self._last - _BEAT_SECONDS
        return f"the event loop lags by {lag:.0f} s" if lag > _LONGEST_LAG_SECONDS else None


def silence_check(what: str, silence: Callable[[], float], longest: float = _LONGEST_SILENCE_SECONDS) -> Check:
    """A Check: whether something has been silent for too long, in seconds."""

    def check() -> str | None:
        seconds = silence()
        return f"{what}: nothing for {seconds:.0f} s" if seconds > longest else None

    return check


def problems(checks: list[Check]) -> list[str]:
    """What is wrong."""
    return [problem for check in checks if (problem := check())]


async def serve_health(host: str, port: int, *, alive: list[Check], ready: list[Check]) -> Server:
    """Serve both probes: 200, or 503 with one line for each thing that is wrong. `ready` is asked besides `alive`."""

    def answer(checks: list[Check]) -> web.Response:
        wrong = problems(checks)
        return web.Response(status=503 if wrong else 200, text="\n".join(wrong or ["ok"]) + "\n")

    async def healthz(_: web.Request) -> web.Response:
        return answer(alive)

    async def readyz(_: web.Request) -> web.Response:
        return answer(alive + ready)

    routes = [web.get("/healthz", healthz), web.get("/readyz", readyz)]
    return await serve(routes, host, port, BOUNDS)
