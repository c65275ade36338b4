"""An HTTP client that returns the API server's responses as they are: code, body and warnings."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import config

Object = dict[str, Any]

JSON, MERGE = "application/json", "application/merge-patch+json"
JSON_PATCH, STRATEGIC = "application/json-patch+json", "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Answer:
    code: int
    body: Any
    warnings: tuple[str, ...]

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
        """Yield (event type, object) until the server ends the watch."""
        url = f"{self._host}{path}?watch=true&timeoutSeconds={seconds}&{query}"
        response = self._pool.request("GET", url, headers=self._auth, preload_content=False, retries=False)
        try:
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            response.close()


def eventually(check: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Wait until `check` returns True. Raises AssertionError with `what` if it takes too long."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.05)
