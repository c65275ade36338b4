"""SIGTERM and SIGINT. While training they wait for the end of the step; at any other time they end the run at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from finetune_api.report import ExitCode
from finetune_trainer.failures import Stopped


class StopSignal:
    """Knows whether the run was asked to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False
        self._ending = False
        self._last_words: Callable[[], None] = _nothing

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from now on. Only the main thread can."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, a first signal only sets `requested`; it is raised as Stopped at the end, unless something else is."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.requested:
            raise Stopped

    def ending(self, last_words: Callable[[], None]) -> None:
        """The run is over and only tidies up: a first signal is ignored."""
        self._ending = True
        self._last_words = last_words

    def on_second(self, last_words: Callable[[], None]) -> None:
        """What to do, in a signal handler, before a second signal ends the process."""
        self._last_words = last_words

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._last_words()
            os._exit(ExitCode.STOPPED)
        self.requested = True
        if not self._deferred and not self._ending:
            raise Stopped


def _nothing() -> None:
    pass
