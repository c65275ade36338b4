"""Sends reports to the operator from its own thread: training never waits for one, and never fails because of one."""

import http
import json
import logging
import random
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from finetune_api.report import MAX_REPORT_BYTES, ReportBody
from finetune_trainer.base.redaction import redact
from finetune_trainer.progress.endpoint import Endpoint, Refused
from finetune_trainer.progress.state import RunState
from finetune_trainer.progress.undelivered import explain

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
FLUSH_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0
HEARTBEAT_SECONDS = 30.0
"""An unchanged state is sent again after as long, for an operator that was restarted."""
_NOT_OURS = (http.HTTPStatus.FORBIDDEN, http.HTTPStatus.GONE)
"""To a pod that it took reports from, the operator says so once the pod is gone, or is no longer that of the job."""


class Reporter:
    """Posts the newest state whenever it changed, at most every `interval` seconds, or as seldom as the operator asks for."""

    def __init__(
        self, state: RunState, endpoint: Endpoint | None, interval: float, on_disowned: Callable[[], None]
    ) -> None:
        """`on_disowned` is called, in the reporter's thread, when the operator took reports and then says that the pod is
        not the job's any more: another may be writing to the same output."""
        self._state = state
        self._endpoint = endpoint
        self._interval = interval
        self._on_disowned = on_disowned
        self._asked_for = 0.0
        self._failures = 0
        self._arrived = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(endpoint,), name="reporter", daemon=True)

    def start(self) -> None:
        if self._endpoint:
            self._thread.start()

    def finish(self) -> None:
        """Send the last state. Returns within about FLUSH_SECONDS, whether it arrived or not."""
        if not self._thread.is_alive():
            return
        self._over.set()
        self._state.changed.set()
        self._state.urgent.set()
        self._thread.join(FLUSH_SECONDS)

    def _run(self, endpoint: Endpoint) -> None:
        while not self._over.is_set():
            self._state.changed.wait(HEARTBEAT_SECONDS)
            if not self._over.is_set():
                self._send(endpoint, TIMEOUT_SECONDS)
                self._pause()
        deadline = time.monotonic() + FLUSH_SECONDS
        while (left := deadline - time.monotonic()) > 0 and not self._send(endpoint, left):
            time.sleep(min(0.2, left))
        endpoint.close()

    def _pause(self) -> None:
        """Wait until the next report is due. A new phase of the run is not kept waiting, but where reports fail."""
        if self._failures:
            # At random, so that many pods do not come at once.
            self._over.wait(random.uniform(*pause(self._interval, self._failures)))  # noqa: S311
        else:
            self._state.urgent.wait(max(self._interval, self._asked_for))
        self._state.urgent.clear()

    def _send(self, endpoint: Endpoint, timeout: float) -> bool:
        self._state.changed.clear()
        try:
            self._post(endpoint, timeout)
        except Exception as error:  # noqa: BLE001 - a report is never worth a run
            self._state.changed.set()
            self._note_failure(endpoint, error)
            return False
        if self._failures:
            logger.info("reports arrive again after %d failures", self._failures)
        self._failures, self._arrived = 0, True
        self._state.set_undelivered(None)
        return True

    def _note_failure(self, endpoint: Endpoint, error: Exception) -> None:
        why = explain(error, urlsplit(endpoint.url).netloc)
        self._failures += 1
        if why != self._state.undelivered:
            logger.warning("reports do not arrive, training goes on: %s", why)
        self._state.set_undelivered(why)
        if self._arrived and isinstance(error, Refused) and error.status in _NOT_OURS and not self._over.is_set():
            self._on_disowned()

    def _post(self, endpoint: Endpoint, timeout: float) -> None:
        body = ReportBody(report=self._state.report())
        text = json.dumps(redact.tree(body.to_wire())).encode()
        if len(text) > MAX_REPORT_BYTES:
            raise ValueError(f"the report has {len(text)} bytes, more than {MAX_REPORT_BYTES}")
        self._asked_for = endpoint.post(text, timeout).next_report_seconds or 0.0


def pause(interval: float, failures: int) -> tuple[float, float]:
    """Return the shortest and the longest time to wait, in seconds, after so many failures in a row."""
    doublings = min(failures, 16)  # far beyond the longest pause; of many more there is no float
    return interval, max(interval, min(LONGEST_PAUSE_SECONDS, interval * 2.0**doublings))
