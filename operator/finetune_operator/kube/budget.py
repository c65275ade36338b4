"""The requests that the operator may send, shared between the namespaces that they are for."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from finetune_operator.kube.lanes import Lanes
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.metrics.instruments import KUBE_WAIT

_AHEAD: Final = 16
"""Requests of a share of which little came of late: a job takes about ten to begin."""


class Budget:
    """At most `burst` requests at once and `per_second` in the long run.

    Where there are more, each share (a namespace; what is for all of them has one of its own) gets the next in turn.
    A share that asks for little waits for no other: what a job takes to begin goes ahead of those of whom much waits.
    """

    def __init__(self, *, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = RateLimit(per_second=per_second, burst=burst, keys=1, clock=clock)
        self._waiting: Lanes[asyncio.Future[None]] = Lanes(ahead=_AHEAD)
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, share: str) -> None:
        """Wait until a request of this share may go."""
        if not self._waiting and not self._rate.wait(""):
            KUBE_WAIT.observe(0.0)
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.put(share, turn)
        if self._timer is None:
            self._serve()
        try:
            with KUBE_WAIT.time():
                await turn
        finally:
            self._waiting.discard(share, turn)

    def _serve(self) -> None:
        """Let as many go as there is room for, and come back when there is more."""
        self._timer = None
        while self._waiting:
            wait = self._rate.wait("")
            if wait > 0:
                self._timer = asyncio.get_running_loop().call_later(wait, self._serve)
                return
            served = self._waiting.pop()
            if served is not None and not served[1].done():
                served[1].set_result(None)
