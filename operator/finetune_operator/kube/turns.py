"""Turns of the event loop: what is long comes one after the other, and between any two of them the loop looks for what has come in."""

import asyncio
from collections import deque


class Turns:
    """Lets one task go on in each turn of the loop, in the order in which they came.

    When an API server answers sixteen requests at once, sixteen passes go on at once and as many begin: for so long no report is
    read and no probe answered. With turns these wait for one of them at the most.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False

    async def take(self) -> None:
        """Wait for a turn, which the caller has until it waits for anything else."""
        if self._is_taken:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._begin()

    def _begin(self) -> None:
        self._is_taken = True
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        """Give the next one its turn: a callback that is made in a turn of the loop runs in the next one."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                self._begin()
                return
        self._is_taken = False
