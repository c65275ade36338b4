"""What Kube asks of the official client, but for the answers."""

from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class FakeClient:
    """A client without a server: who inherits from it answers in `call_api`."""

    configuration = SimpleNamespace(host="https://api")
    default_headers: dict[str, str] = {}

    async def update_params_for_auth(self, headers: dict[str, str], *_: Any) -> None:
        headers["authorization"] = "Bearer token"


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))
