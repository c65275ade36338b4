"""SIGTERM and SIGINT. While training they wait for the end of the step; at any other time they end the run at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import Stopped

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Knows whether the run was asked to stop."""

    def __init__(self, last_words: Callable[[], None]) -> None:
        """`last_words` is called, in a signal handler, before a second signal ends the process."""
        self.requested = False
        self._received = False
        self._agree: Callable[[bool], bool] | None = None
        self._deferred = False
        self._last_words = last_words

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from now on. Only the main thread can."""
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    def ignore(self) -> None:
        """The run is over, and what is left takes a few seconds."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def agree_by(self, agree: Callable[[bool], bool]) -> None:
        """Stop together with other processes: `agree` tells whether any of them got a signal."""
        self._agree = agree

    def ask(self) -> bool:
        """Whether to stop now. Several processes must ask at the same time; only here do they learn of each other's."""
        if self._agree:
            self.requested = self._agree(self._received)
        return self.requested

    def check(self) -> None:
        """Raise Stopped if it was asked for. A library may have swallowed the first one, as some do while importing."""
        if self._received or self.requested:
            raise Stopped

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, a first signal is only noted; it is raised as Stopped at the end, unless something else is."""
        self.check()
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        self.check()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            self._last_words()
            os._exit(ExitCode.STOPPED)
        self._received = True
        self.requested = self.requested or self._agree is None
        if not self._deferred:
            raise Stopped
