"""Sends reports to the operator from its own thread: training never waits for one, and never fails because of one."""

import json
import logging
import os
import random
import ssl
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from finetune_api.report import ENV_CA_CERT, ENV_SERVER_URL, ENV_TOKEN, MAX_REPORT_BYTES, ReportBody
from finetune_trainer.base.redaction import redact
from finetune_trainer.progress.state import RunState

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
FLUSH_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0
HEARTBEAT_SECONDS = 30.0
"""An unchanged state is sent again after as long, for an operator that was restarted."""


@dataclass(frozen=True)
class Endpoint:
    """Where reports go."""

    url: str
    ca_cert: Path | None
    token: Path | None

    @classmethod
    def from_environment(cls) -> "Endpoint | None":
        """Return the endpoint that the operator set in the environment; None on a laptop."""
        url = os.environ.get(ENV_SERVER_URL)
        ca_cert, token = os.environ.get(ENV_CA_CERT), os.environ.get(ENV_TOKEN)
        return cls(url, Path(ca_cert) if ca_cert else None, Path(token) if token else None) if url else None

    def post(self, body: bytes, timeout: float) -> None:
        """POST `body`. The files are read each time, since Kubernetes renews them in place.

        Raises:
            OSError, ValueError: it did not arrive.
        """
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token.read_text(encoding='utf-8').strip()}"
        request = urllib.request.Request(self.url, data=body, headers=headers, method="POST")  # noqa: S310 - the operator's
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),  # the operator is in the cluster, past the proxy for the Hub
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca_cert)),
        )
        with opener.open(request, timeout=timeout):
            pass


class Reporter:
    """Posts the newest state whenever it changed, at most every `interval` seconds."""

    def __init__(self, state: RunState, endpoint: Endpoint | None, interval: float) -> None:
        self._state = state
        self._endpoint = endpoint
        self._interval = interval
        self._failures = 0
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
        self._thread.join(FLUSH_SECONDS)

    def _run(self, endpoint: Endpoint) -> None:
        while not self._over.is_set():
            self._state.changed.wait(HEARTBEAT_SECONDS)
            if not self._over.is_set():
                self._send(endpoint, TIMEOUT_SECONDS)
                # At random, so that many pods do not come at once.
                self._over.wait(random.uniform(*pause(self._interval, self._failures)))  # noqa: S311
        deadline = time.monotonic() + FLUSH_SECONDS
        while (left := deadline - time.monotonic()) > 0 and not self._send(endpoint, left):
            time.sleep(min(0.2, left))

    def _send(self, endpoint: Endpoint, timeout: float) -> bool:
        self._state.changed.clear()
        try:
            self._post(endpoint, timeout)
        except Exception as error:  # noqa: BLE001 - a report is never worth a run
            self._state.changed.set()
            self._failures += 1
            if self._failures == 1:
                logger.warning("reports do not arrive, training goes on: %s", error)
            return False
        if self._failures:
            logger.info("reports arrive again after %d failures", self._failures)
        self._failures = 0
        return True

    def _post(self, endpoint: Endpoint, timeout: float) -> None:
        body = ReportBody(report=self._state.report())
        text = json.dumps(redact.tree(body.to_wire())).encode()
        if len(text) > MAX_REPORT_BYTES:
            raise ValueError(f"the report has {len(text)} bytes, more than {MAX_REPORT_BYTES}")
        endpoint.post(text, timeout)


def pause(interval: float, failures: int) -> tuple[float, float]:
    """Return the shortest and the longest time to wait, in seconds, after so many failures in a row."""
    doublings = min(failures, 16)  # far beyond the longest pause; of many more there is no float
    return interval, max(interval, min(LONGEST_PAUSE_SECONDS, interval * 2.0**doublings))
