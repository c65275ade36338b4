"""A tracker's server over HTTP: requests that end in time, go nowhere else, and carry no credentials but their own."""

from collections.abc import Mapping
from typing import Any, Final

import requests

from finetune_trainer.tracking.tracker import TrackerFailure

TIMEOUTS: Final = (5.0, 20.0)
"""Seconds to connect, and between two parts of an answer."""
Json = dict[str, Any]


class Server:
    """The server at a URL. `headers` are sent with each request."""

    def __init__(self, uri: str, kind: str) -> None:
        """`kind` is what people call such a server."""
        self.uri = uri.rstrip("/")
        self.headers: Mapping[str, str] = {}
        self._kind = kind
        self._session = requests.Session()
        self._session.auth = _no_other_credentials

    def ask(self, method: str, path: str, **what: Any) -> requests.Response:
        """Return the answer, whatever its status.

        Raises:
            TrackerFailure: There is none.
        """
        try:
            return self._session.request(
                method,
                f"{self.uri}/{path}",
                headers=dict(self.headers),
                timeout=TIMEOUTS,
                allow_redirects=False,
                **what,
            )
        except requests.Timeout as error:
            raise TrackerFailure(f"{self.uri} does not answer in time") from error
        except requests.RequestException as error:
            raise TrackerFailure(f"{self.uri} cannot be reached ({type(error).__name__})") from error

    def read(self, answer: requests.Response) -> Json:
        """Return an answer's JSON object.

        Raises:
            TrackerFailure: It is none.
        """
        try:
            return dict(answer.json())
        except (ValueError, TypeError) as error:
            raise TrackerFailure(f"{self.uri} is no {self._kind} server: its answer is not JSON") from error


class Refused(TrackerFailure):
    """The server does not take the credentials."""

    def __init__(self, uri: str, status: int) -> None:
        super().__init__(
            f"{uri} refuses the credentials ({status}): check the Secret of tracking.secretRef, outside a cluster the environment"
        )


def _no_other_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Of no credentials requests would make those of a netrc file."""
    return request
