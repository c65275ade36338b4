"""Where reports go: one HTTPS connection that stays open, made anew when it ends or what it trusts changes."""

import http.client
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import ValidationError

from finetune_api.report import ENV_CA_CERT, ENV_SERVER_URL, ENV_TOKEN, ReportAnswer

_MAX_ANSWER_BYTES = 64 * 1024
_ENDED = (
    http.client.RemoteDisconnected,
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    ssl.SSLEOFError,
)
"""How a kept connection looks that the other side has closed meanwhile."""


class Refused(OSError):
    """The operator's answer is another than 200."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"HTTP {status}: {reason}")
        self.status = status
        self.reason = reason


@dataclass
class Endpoint:
    """Where reports go. For one thread only."""

    url: str
    ca_cert: Path | None
    token: Path | None
    _trusted: bytes | None = field(default=None, init=False)
    """What `ca_cert` held when the connection was made."""
    _connection: http.client.HTTPConnection | None = field(default=None, init=False)

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return the endpoint that the operator set in the environment; None on a laptop."""
        url = os.environ.get(ENV_SERVER_URL)
        ca_cert, token = os.environ.get(ENV_CA_CERT), os.environ.get(ENV_TOKEN)
        return cls(url, Path(ca_cert) if ca_cert else None, Path(token) if token else None) if url else None

    def post(self, body: bytes, timeout: float) -> ReportAnswer:
        """POST `body`. The files are read each time, since Kubernetes renews them in place.

        Raises:
            Refused: it arrived, and was not taken.
            OSError, ValueError, http.client.HTTPException: it did not arrive.
        """
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token.read_text(encoding='utf-8').strip()}"
        try:
            return self._post(body, headers, timeout)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one. The next report makes another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _post(self, body: bytes, headers: dict[str, str], timeout: float) -> ReportAnswer:
        trusted = self.ca_cert.read_bytes() if self.ca_cert else None
        if trusted != self._trusted:
            self.close()
        if self._connection is not None:
            try:
                return self._exchange(self._connection, body, headers, timeout)
            except _ENDED:
                self.close()
        self._connection, self._trusted = self._connect(timeout), trusted
        return self._exchange(self._connection, body, headers, timeout)

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        """Past any proxy: the operator is in the cluster."""
        parts = urlsplit(self.url)
        if parts.hostname is None:
            raise ValueError(f"{self.url} names no host")
        if parts.scheme != "https":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        context = ssl.create_default_context(cafile=self.ca_cert)
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)

    def _exchange(
        self, connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str], timeout: float
    ) -> ReportAnswer:
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        connection.request("POST", urlsplit(self.url).path, body, headers)
        response = connection.getresponse()
        content = response.read(_MAX_ANSWER_BYTES)
        if response.status != http.HTTPStatus.OK:
            raise Refused(response.status, response.reason)
        return _read_answer(content)


def _read_answer(content: bytes) -> ReportAnswer:
    """What the operator asks for. An older operator asks for nothing."""
    try:
        return ReportAnswer.model_validate_json(content)
    except ValidationError:
        return ReportAnswer()
