"""The log of an attempt beside its checkpoints: what the pod's log has, for when the pod is gone."""

import logging
import os
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.redaction import redact
from finetune_trainer.storage.output import Output

MOST_BYTES: Final = 4 * 1024 * 1024
_HEAD_BYTES: Final = MOST_BYTES // 4
FLUSH_SECONDS: Final = 10.0
"""For so long the end of a run waits for its log to arrive."""

logger = logging.getLogger(__name__)


class LogText:
    """Lines as bytes, at most MOST_BYTES of them: of more, lines after the first quarter are left out."""

    def __init__(self) -> None:
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._head_bytes = self._tail_bytes = self._left_out = 0

    def add(self, line: bytes) -> None:
        """Add a line with its newline."""
        line = line[-_HEAD_BYTES:]
        if not self._tail and self._head_bytes + len(line) <= _HEAD_BYTES:
            self._head.append(line)
            self._head_bytes += len(line)
            return
        self._tail.append(line)
        self._tail_bytes += len(line)
        while self._head_bytes + self._tail_bytes > MOST_BYTES - 64:
            self._tail_bytes -= len(self._tail.popleft())
            self._left_out += 1

    def __bytes__(self) -> bytes:
        gap = [b"... %d lines are left out ...\n" % self._left_out] if self._left_out else []
        return b"".join([*self._head, *gap, *self._tail])


class AttemptLog:
    """Takes in what the process logs, from its start; brings it to the output once there is one, now and then and at the end.

    Nothing that goes wrong with it is worth a run: a place that cannot be reached gets all of it later.
    """

    def __init__(self) -> None:
        # A program that runs here again within a second has a log of its own.
        self.name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{_host()}.log"
        self._text = LogText()
        self._lock = threading.RLock()  # a signal handler logs, perhaps in the middle of another line
        self._process = os.getpid()
        self._changed = self._over = False
        self._output: Output | None = None
        self._on_arrival: Callable[[str], None] = lambda uri: None
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take in what is logged within the context."""
        handler, root = _Handler(self.write), logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)

    def write(self, text: str) -> None:
        """Add lines, without secrets."""
        if os.getpid() != self._process:  # a worker that was forked, perhaps while the lock was held
            return
        line = redact(text).rstrip("\n").encode(errors="replace") + b"\n"
        with self._lock:
            self._text.add(line)
            self._changed = True

    def keep_in(self, output: Output, on_arrival: Callable[[str], None]) -> None:
        """Bring the log to `output` from now on. `on_arrival` is called with its URI once it is there."""
        if self._output is None:
            self._output, self._on_arrival = output, on_arrival
            self._thread.start()

    def finish(self) -> None:
        """Bring the rest of it to the output. Returns within about FLUSH_SECONDS, whether it arrived or not."""
        self._over = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        failed = ""
        while self._output is not None:
            self._wake.wait(self._output.log_pause_seconds)
            over = self._over
            try:
                self._deliver(self._output)
            except Exception as error:  # noqa: BLE001 - see above
                why = str(error) if isinstance(error, TrainerError) else f"{type(error).__name__}: {error}"
                if why != failed:
                    logger.warning("the log cannot be stored yet: %s", why)
                failed = why
            if over:
                return

    def _deliver(self, output: Output) -> None:
        with self._lock:
            content, changed = bytes(self._text), self._changed
            self._changed = False
        if not changed:
            return
        try:
            output.write_log(self.name, content)
        except BaseException:
            self._changed = True
            raise
        self._on_arrival(output.uri_of(output.logs / self.name))


class _Handler(logging.Handler):
    """As the handler of the program, whose lines are plain messages."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - as other handlers do
            self.handleError(record)


def _host() -> str:
    """The name of this machine, which in a cluster is the pod's, as a part of a file's name."""
    return re.sub("[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "host"
