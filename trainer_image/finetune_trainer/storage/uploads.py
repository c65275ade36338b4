"""Uploads that are tried until they are done, or until something has waited long enough for them."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage.errors import is_transient
from finetune_trainer.storage.layout import HISTORY
from finetune_trainer.storage.place import Place

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
FLUSH_SECONDS = 30.0
"""How long an upload is still tried once something waits for it."""


class Uploader:
    """Writes to a place, one upload at a time."""

    def __init__(self, flush_requested: threading.Event) -> None:
        """`flush_requested` is set while something waits for an upload."""
        self.writing = threading.Lock()
        """Held while something is written: the Hub refuses commits that meet, and no older history may come after a newer one."""
        self._flush_requested = flush_requested

    def keep_trying(self, what: str, send: Callable[[], None]) -> None:
        """Try until it is done, or for `FLUSH_SECONDS` from when something waits for it.

        Args:
            what: What `send` sends, for the log.

        Raises:
            TrainerError: OUTPUT when the place refuses, else INTERNAL: it could be written when the run began, and
                the next attempt checks again whether it can.
        """
        pause, deadline = FIRST_PAUSE_SECONDS, None
        while True:
            try:
                with self.writing:
                    return send()
            except TrainerError as error:
                if self._flush_requested.is_set() and deadline is None:
                    deadline = time.monotonic() + FLUSH_SECONDS
                if not is_transient(error):
                    raise
                if deadline is not None and time.monotonic() >= deadline:
                    raise TrainerError(ExitCode.INTERNAL, error.reason, error.message, error.hint) from error
                logger.warning("%s cannot be uploaded yet, trying again: %s", what, error)
            if deadline is None:
                self._flush_requested.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                time.sleep(FIRST_PAUSE_SECONDS)


class HistoryUpload:
    """Sends the history from a thread when it has changed, with a pause between two times."""

    def __init__(self, place: Place, path: Path, writing: threading.Lock) -> None:
        """`writing` is held while something is written to the place."""
        self._place = place
        self._path = path
        self._writing = writing
        self._changed, self._stopped = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def changed(self) -> None:
        """Send it soon. A failure costs nothing yet."""
        self._changed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="history", daemon=True)
            self._thread.start()

    def exists(self) -> bool:
        return self._path.exists()

    def read(self) -> bytes:
        """Return it as it is now. A line that is just being written may be cut: readers drop such a last line."""
        return self._path.read_bytes()

    def send(self) -> None:
        """Send it now. Only with `writing` held."""
        self._place.write(HISTORY, self.read())

    def stop(self) -> None:
        """End the thread, once it has sent what it is sending."""
        self._stopped.set()
        self._changed.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while self._changed.wait() and not self._stopped.is_set():
            self._changed.clear()
            try:
                with self._writing:
                    self.send()
            except TrainerError as error:
                logger.warning("the history cannot be uploaded yet: %s", error)
            self._stopped.wait(self._place.pause_seconds)
