"""Ports for processes that are told where to listen."""

import contextlib
import itertools
import random
import socket
from collections.abc import Iterator

_PORTS = range(10_000, 30_000)
"""Below those that systems give out by themselves, to clients too, and below Kubernetes' node ports."""


def free_ports(count: int) -> list[int]:
    """Return different ports where nothing listens now.

    Nobody but another caller takes one until its process listens, which may take seconds, or while that starts anew.
    """
    with contextlib.ExitStack() as held:
        return list(itertools.islice(_bound(held), count))


def _bound(held: contextlib.ExitStack) -> Iterator[int]:
    chance = random.SystemRandom()  # programs that seed the other one alike would take the same
    while True:
        port, server = chance.choice(_PORTS), held.enter_context(socket.socket())
        with contextlib.suppress(OSError):
            server.bind(("", port))
            yield port
