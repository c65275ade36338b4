"""Credentials of this machine, and servers that a manifest or a job names: whoever wrote it may be somebody else than who runs it."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from finetune.errors import Refused
from finetune_api.tracking import CREDENTIALS, SPACE, Tracking

Sent: TypeAlias = Mapping[str, Sequence[str]]
"""By the URL of each server, the variables of this machine that it would get the values of."""
Agree: TypeAlias = Callable[[Sent], None]
"""Called before anything is sent; raises where that is not to be."""


def credentials_for(servers: Tracking) -> dict[str, tuple[str, ...]]:
    """Return, by the URL of each server of a run's trackers, which of this machine's variables it would get."""
    found: dict[str, tuple[str, ...]] = {}
    for tracker, names in CREDENTIALS.items():
        server = getattr(servers, tracker)
        if server is not None and server.uri is not None:
            goes = [each for each in names if each != "HF_TOKEN" or SPACE.fullmatch(server.uri)]
            found[server.uri] = (*found.get(server.uri, ()), *(each for each in goes if os.environ.get(each)))
    return {uri: names for uri, names in found.items() if names}


def host_of(uri: str) -> str:
    """Return the host of a server, with its port if it has one."""
    return urlsplit(uri).netloc


def trusting(*hosts: str) -> Agree:
    """Agree that the servers at these hosts (`mlflow.example`, `localhost:5000`) get credentials, and no others."""

    def agree(sent: Sent) -> None:
        for uri, names in sent.items():
            if host_of(uri) not in hosts:
                raise Refused(
                    f"{uri} would get {' and '.join(names)} of this machine's environment: name its host, {host_of(uri)}, if that is to be"
                )

    return agree


TRUST_NOBODY: Final = trusting()
