"""Whoever does not prove the run's secret reaches nothing, and keeps nobody from it."""

import hmac
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from finetune_trainer.processes import tunnel as tunnels
from finetune_trainer.processes.tunnel import Stranger, Tunnel

SECRET = b"of this run, and of no other"
GREETING = b"finetune-run/1\n"


class Echo:
    """What stands behind an entrance, and says back what it hears."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.heard: list[bytes] = []
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            while content := connection.recv(65536):
                self.heard.append(content)
                connection.sendall(content)


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.listening.close()


@pytest.fixture
def entrance(echo: Echo) -> Iterator[int]:
    tunnel = Tunnel(SECRET)
    yield tunnel.open_entrance(0, echo.port)
    tunnel.close()


@pytest.fixture
def machine() -> Iterator[Tunnel]:
    tunnel = Tunnel(SECRET)
    yield tunnel
    tunnel.close()


def received(connection: socket.socket, count: int) -> bytes:
    """So many bytes, or fewer where the other side hangs up."""
    content = b""
    while len(content) < count and (more := connection.recv(count - len(content))):
        content += more
    return content


def test_a_machine_of_the_run_gets_through_both_ways(machine: Tunnel, entrance: int) -> None:
    content = secrets.token_bytes(300_000)

    with socket.create_connection(("127.0.0.1", machine.open_exit("127.0.0.1", entrance)), timeout=60) as connection:
        threading.Thread(target=connection.sendall, args=(content,), daemon=True).start()
        assert received(connection, len(content)) == content


def proven(secret: bytes, role: bytes, *challenges: bytes) -> bytes:
    """As the protocol is written down, by other means than the code."""
    return hmac.new(secret, b"finetune-run/1 " + role + b"\n" + b"".join(challenges), "sha256").digest()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda theirs: b"GET / HTTP/1.1\r\nHost: first\r\n\r\n" + b"x" * 64, id="another protocol"),
        pytest.param(
            lambda theirs: bytes(32) + proven(b"a guess of the secret", b"enters", theirs, bytes(32)), id="a guess"
        ),
        pytest.param(
            lambda theirs: bytes(32) + proven(SECRET, b"lets in", theirs, bytes(32)), id="the other role's proof"
        ),
        pytest.param(lambda theirs: theirs + theirs, id="an echo"),
        pytest.param(
            lambda theirs: bytes(32) + proven(SECRET, b"enters", bytes(32), bytes(32)), id="a proof of before"
        ),
    ],
)
def test_a_stranger_reaches_nothing(entrance: int, echo: Echo, answer: object) -> None:
    assert callable(answer)
    with socket.create_connection(("127.0.0.1", entrance), timeout=60) as stranger:
        theirs = received(stranger, len(GREETING) + 32).removeprefix(GREETING)
        stranger.sendall(answer(theirs))
        rest = received(stranger, 1)

    assert rest == b""
    assert echo.heard == []


def test_who_says_nothing_is_gone_in_time(entrance: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "_HANDSHAKE_SECONDS", 0.1)

    with socket.create_connection(("127.0.0.1", entrance), timeout=60) as stranger:
        assert received(stranger, len(GREETING) + 33).startswith(GREETING)  # and then it hangs up


def test_many_who_say_nothing_keep_no_machine_of_the_run_out(
    machine: Tunnel, entrance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnels, "_MOST_UNPROVEN", 8)
    with ExitStack() as strangers:
        for _ in range(64):
            strangers.enter_context(socket.create_connection(("127.0.0.1", entrance), timeout=60))
        port = machine.open_exit("127.0.0.1", entrance)

        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"here")
            assert received(connection, 4) == b"here"


@pytest.mark.parametrize(
    ("says", "why"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n" + b"x" * 99, "no machine of a run", id="another server"),
        pytest.param(GREETING + bytes(32) + bytes(32), "does not know the secret", id="one that accepts everybody"),
        pytest.param(b"", "hangs up", id="one that hangs up"),
    ],
)
def test_nothing_is_told_to_one_who_only_stands_where_the_first_machine_should(
    machine: Tunnel, says: bytes, why: str
) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as impostor:

        def pretend() -> None:
            connection, _ = impostor.accept()
            with connection:
                connection.sendall(says)
                if len(says) == len(GREETING) + 64:
                    heard.append(received(connection, 65))

        thread = threading.Thread(target=pretend)
        thread.start()
        with pytest.raises(Stranger, match=why):
            machine.open_exit("127.0.0.1", impostor.getsockname()[1])
        thread.join()

    assert all(len(content) == 64 and SECRET not in content for content in heard)
