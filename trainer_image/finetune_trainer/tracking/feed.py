"""Brings the history to one tracker, from a thread of its own: whatever happens to the tracker, the training goes on."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from finetune_api.status import TrackedRun
from finetune_trainer.base.redaction import redact
from finetune_trainer.progress.history import History, Sent
from finetune_trainer.tracking.tracker import Outcome, Tracker, TrackerFailure

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 5.0
"""Time between two looks at the history."""
LONGEST_PAUSE_SECONDS: Final = 60.0
"""Longest time between two tries."""
MOST_POINTS: Final = 200
"""Lines of the history that are sent at once."""
_LAST_PAUSE_SECONDS: Final = 1.0


class Feed:
    """Sends what the tracker has not got, tries again for as long as the run lasts, and a little longer at its end."""

    def __init__(
        self, tracker: Tracker, history: History, report: Callable[[TrackedRun], None], rest: str = ""
    ) -> None:
        """`report` is called when there is something new to say of the tracker. `rest` is what sends points that have not arrived once the run has ended."""
        self._tracker = tracker
        self._history = history
        self._report = report
        self._rest = rest
        self._sent: Sent | None = None
        self._failures = 0
        self._why = ""
        self._outcome: Outcome | None = None
        self._over = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"tracking-{tracker.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, outcome: Outcome, seconds: float) -> None:
        """Let the thread send the rest, and say how the attempt ended. Returns after `seconds`, whether all arrived or not."""
        if not self._thread.is_alive():
            return
        self._outcome, self._deadline = outcome, time.monotonic() + seconds
        self._over.set()
        self._thread.join(seconds)
        left = self.left
        if left or self._thread.is_alive():
            what = (
                f"{left} of {self._history.count_after(Sent())} points have not arrived"
                if left
                else "not all has arrived"
            )
            remedy = f"; {self._rest} sends them" if self._rest and outcome != "stopped" else ""
            self._say(f"{what}: {self._why or 'it takes too long'}", remedy)

    @property
    def left(self) -> int:
        """How many lines of the history have not arrived, as far as anybody knows."""
        return self._history.count_after(self._sent or Sent())

    def _run(self) -> None:
        while time.monotonic() < self._deadline:
            over = self._over.is_set()
            if self._deliver(over) and over:
                return
            self._pause()

    def _pause(self) -> None:
        if self._over.is_set():
            time.sleep(_LAST_PAUSE_SECONDS)
        elif self._failures:
            longest = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(self._failures, 16))
            self._over.wait(random.uniform(longest / 2, longest))  # noqa: S311 - many runs do not come at once
        else:
            self._over.wait(INTERVAL_SECONDS)

    def _deliver(self, over: bool) -> bool:
        """Send what there is. Returns whether all of it arrived."""
        try:
            if self._sent is None:
                self._sent = self._tracker.open()
                if not self._why:
                    self._report(self._known)
            while points := self._history.after(self._sent, MOST_POINTS):
                self._tracker.send(points)
                self._sent = self._sent.with_points(points)
            if over and self._outcome:
                self._tracker.finish(self._outcome)
        except Exception as error:  # noqa: BLE001 - a tracker is never worth a run
            self._note(error)
            self._sent = None
            return False
        if self._why:
            logger.info("%s: points arrive again", self._tracker.name)
            self._report(self._known)
        self._failures, self._why = 0, ""
        return True

    @property
    def _known(self) -> TrackedRun:
        return TrackedRun(tracker=self._tracker.name, url=self._tracker.url)

    def _note(self, error: Exception) -> None:
        self._failures += 1
        why = redact(reason_of(error))[:200]
        if why != self._why:
            self._why = why
            self._say(f"points do not arrive yet: {why}")

    def _say(self, message: str, remedy: str = "") -> None:
        message = f"{message[: 256 - len(remedy)]}{remedy}"
        logger.warning("%s: %s; the training does not wait for it", self._tracker.name, message)
        self._report(self._known.model_copy(update={"message": message}))


def reason_of(error: Exception) -> str:
    """Return in one line why a tracker does not get its points."""
    why = str(error) if isinstance(error, TrackerFailure) else f"{type(error).__name__}: {error}"
    return " ".join(why.split())
