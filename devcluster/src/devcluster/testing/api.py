"""An HTTP client that returns the API server's responses as they are: code, body and warnings."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kubernetes import config

from devcluster.testing import threads

Object = dict[str, Any]
T = TypeVar("T")

PATIENCE = 300.0
"""Seconds to wait for anything, on a machine that has much else to do. Only what never comes costs a test so long."""

JSON, MERGE = "application/json", "application/merge-patch+json"
JSON_PATCH, STRATEGIC = "application/json-patch+json", "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


class ApiError(Exception):
    """The API server did not do what was asked: `code` is the answer's."""

    def __init__(self, code: int, body: Any) -> None:
        super().__init__(f"{code}: {body}")
        self.code = code


@dataclass(frozen=True)
class Answer:
    code: int
    body: Any
    """Text where it is no JSON, as of a 429."""
    warnings: tuple[str, ...]

    def object(self) -> Object:
        """The body of a success. Raises ApiError if it is none."""
        if self.code >= 300:
            raise ApiError(self.code, self.body)
        found: Object = self.body
        return found

    @property
    def message(self) -> str:
        return str(self.body["message"])

    @property
    def fields(self) -> set[str]:
        """The fields that an error names."""
        return {cause["field"] for cause in self.body["details"]["causes"]}


class Api:
    """Sends HTTP requests to the server of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        client = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        self._pool, self._host = client.rest_client.pool_manager, client.configuration.host
        self._auth = {entry["key"]: entry["value"] for entry in client.configuration.auth_settings().values()}

    def __call__(
        self, method: str, path: str, body: Any = None, content_type: str = JSON, accept: str = JSON, token: str = ""
    ) -> Answer:
        """Send a request.

        `body` is sent as JSON unless it is text or bytes; `token` replaces the kubeconfig's credentials.
        """
        auth = {"authorization": f"Bearer {token}"} if token else self._auth
        headers = {**auth, "Content-Type": content_type, "Accept": accept, "User-Agent": "tests/1"}
        data = body if isinstance(body, str | bytes) or body is None else json.dumps(body)
        response = self._pool.request(method, self._host + path, body=data, headers=headers, retries=False)
        text = response.data.decode()
        warnings = tuple(response.headers.getlist("Warning"))
        return Answer(response.status, json.loads(text) if text.startswith(("{", "[")) else text, warnings)

    def watch(self, path: str, query: str, seconds: int = 10) -> Iterator[tuple[str, Object]]:
        """Yield (event type, object) until the server ends the watch. Raises ApiError if it begins none."""
        url = f"{self._host}{path}?watch=true&timeoutSeconds={seconds}&{query}"
        response = self._pool.request("GET", url, headers=self._auth, preload_content=False, retries=False)
        try:
            if response.status >= 300:
                raise ApiError(response.status, response.read().decode())
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            response.close()


def wait_for(get: Callable[[], T], reached: Callable[[T], object], what: str) -> T:
    """Return the first value that `reached` accepts.

    Raises AssertionError with `what` and the last value if none comes, and at once if an exception ends a thread beside the test.
    """
    deadline, pause = time.monotonic() + PATIENCE, 0.02
    while not reached(value := get()):
        threads.raise_end()
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:g} s for {what}; now: {json.dumps(value, indent=1, default=str)}")
        time.sleep(pause)
        pause = min(1.5 * pause, 0.5)
    return value


def eventually(check: Callable[[], bool], what: str) -> None:
    """Wait until `check` returns True. Raises AssertionError with `what` if it never does."""
    wait_for(check, bool, what)
