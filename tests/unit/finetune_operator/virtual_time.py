"""An event loop whose clock jumps to the next timer: hours pass in no time, and by no machine's speed."""

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_STANDSTILL = 1000
"""Turns of the loop in one moment, after which time goes on all the same: a timer may fire by the clock's resolution early, and who then finds
that it is not time yet, and asks for a timer of no length, would go round for ever."""


class _Jump(selectors.SelectSelector):
    """Waits by moving the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        """See selectors: nothing ever comes from outside, so that without a timer the program would wait for ever."""
        assert timeout is not None, "everything waits, and for nothing"
        before = self.now
        self.now += max(0.0, timeout)
        self._turns = self._turns + 1 if self.now == before else 0
        if self._turns > _STANDSTILL:
            self.now += time.get_clock_info("monotonic").resolution
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Without sockets and threads, whose answers no clock foresees."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._jump.now


def run_in_virtual_time(program: Coroutine[Any, Any, T]) -> T:
    """Return what the program returns."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(program)
