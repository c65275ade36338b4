"""SIGTERM, SIGINT and SIGHUP. While training they wait for the end of the step; at any other time they end the run at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import Stopped

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignal:
    """Whether the run was asked to stop."""

    def __init__(self, before_exit: Callable[[], None]) -> None:
        """`before_exit` is called, in a signal handler, when a second signal ends the process at once."""
        self.requested = False
        self._received = False
        self._agree: Callable[[bool], bool] | None = None
        self._deferred = False
        self._before_exit = before_exit

    def listen(self) -> None:
        """Handle these signals from now on. Only the main thread can."""
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    def ignore(self) -> None:
        """Ignore signals: the run is over, and the rest takes a few seconds."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def agree_by(self, agree: Callable[[bool], bool]) -> None:
        """Stop together with other processes: `agree` returns whether any of them got a signal."""
        self._agree = agree

    def ask(self) -> bool:
        """Return whether to stop now. Several processes must ask at the same time: only here do they learn of each other's signals."""
        if self._agree:
            self.requested = self._agree(self._received)
        return self.requested

    def check(self) -> None:
        """Raise Stopped if a stop was requested. A library may have swallowed the first one, as some do while importing."""
        if self._received or self.requested:
            raise Stopped

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note a first signal within; raise Stopped at the end, unless something else is raised."""
        self.check()
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        self.check()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received and number == signal.SIGHUP:
            return  # the program that asked for the stop has ended meanwhile: nobody is in a hurry
        if self._received:
            self._before_exit()
            os._exit(ExitCode.STOPPED)
        self._received = True
        self.requested = self.requested or self._agree is None
        if not self._deferred:
            raise Stopped
