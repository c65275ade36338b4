"""Saves checkpoints in a thread of its own: the training waits for a copy in memory, not for the disk."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

logger = logging.getLogger(__name__)


class BackgroundSaver:
    """Runs one save at a time. A failure is raised where the training next asks, never in the thread alone."""

    def __init__(self, flush_requested: threading.Event) -> None:
        """`flush_requested` is set while something waits for the save that is running, so that it does not try for ever."""
        self._flush_requested = flush_requested
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._running: Future[None] | None = None

    def start(self, save: Callable[[], None]) -> None:
        """Run `save` in the thread, once the one before it is over.

        Raises:
            Exception: What the save before this one failed with.
        """
        self.wait()
        self._flush_requested.clear()
        self._running = self._pool.submit(save)

    def wait(self) -> None:
        """Return when no save is running.

        Raises:
            Exception: What the last save failed with, once.
        """
        running, self._running = self._running, None
        self._flush_requested.set()
        if running:
            running.result()

    def check(self) -> None:
        """Raise what the last save failed with, if it is over; do not wait for it."""
        if self._running and self._running.done():
            self.wait()

    def settle(self) -> None:
        """Return when no save is running. What it failed with is raised by `wait`."""
        self._flush_requested.set()
        if self._running and (error := self._running.exception()):
            logger.warning("a checkpoint could not be saved: %s", error)
