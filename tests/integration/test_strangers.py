"""A stranger who connects to whatever the pods of a run listen at, first and all the while: the run goes on without it."""

import os
import pickle
import random
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from tests.integration.fixtures import Space, finetunejob

_CHALLENGE, _PROOF = 32, 32
_PAUSE_SECONDS = 0.02


class _Owned:
    """A pickle whose reader makes a folder."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._mark),)


class Stranger(threading.Thread):
    """Looks for what the pods of one job listen at, and says something else at each connection."""

    def __init__(self, job: str, mark: Path) -> None:
        super().__init__(daemon=True)
        self._job = job
        self._pickle = pickle.dumps(_Owned(mark))
        self._held: list[socket.socket] = []
        self.over = threading.Event()
        self.connected: Counter[str] = Counter()
        """Connections by whether an `entrance` of the run or a `process` of it took them."""
        self.admitted: list[bytes] = []
        """What an entrance sent after an answer that proves nothing."""

    def run(self) -> None:
        chance = random.Random(1)
        while not self.over.wait(_PAUSE_SECONDS):
            for kind, address in sorted(_listening(self._job)):
                with suppress(OSError):
                    self._visit(kind, address, chance)
        for connection in self._held:
            connection.close()

    def _visit(self, kind: str, address: tuple[str, int], chance: random.Random) -> None:
        connection = socket.create_connection(address, timeout=1)
        self.connected[kind] += 1
        if kind == "entrance" and chance.random() < 0.5:
            with connection:
                self._answer(connection, chance)
            return
        connection.sendall(self._nonsense(chance))
        if chance.random() < 0.5:
            self._held = [*self._held[-200:], connection]
        else:
            connection.close()

    def _answer(self, connection: socket.socket, chance: random.Random) -> None:
        """Speak the right protocol without the secret."""
        asked = connection.recv(4096)[-_CHALLENGE:]
        connection.sendall(
            chance.choice(
                [
                    secrets.token_bytes(_CHALLENGE + _PROOF),
                    asked + asked,
                    asked + secrets.token_bytes(_PROOF),
                    bytes(_CHALLENGE + _PROOF),
                    asked[:7],
                ]
            )
        )
        connection.settimeout(0.2)
        if said := connection.recv(4096):
            self.admitted.append(said)

    def _nonsense(self, chance: random.Random) -> bytes:
        return chance.choice(
            [
                b"",
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                secrets.token_bytes(chance.choice([1, 8, 64, 4096])),
                self._pickle,
                len(self._pickle).to_bytes(8, "little") + self._pickle,
                # What torch's store and gloo's connections begin with.
                b"\x00\x3c\x85\xf7\xec" + bytes(4),
                chance.randrange(64).to_bytes(8, "little"),
                b"\xff" * 8,
            ]
        )


def _listening(job: str) -> set[tuple[str, tuple[str, int]]]:
    """What the pods of a job listen at for each other: the first machine's entrance, and each process that trains.

    All pods are processes of this machine. What a pod has on its own loopback nobody reaches in a cluster.
    """
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            if "finetune_trainer" not in (process.info["cmdline"] or ()) or not process.environ().get(
                "HOSTNAME", ""
            ).startswith(job):
                continue
            kind = "process" if "RANK" in process.environ() else "entrance"
            for each in process.net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN and (kind == "process" or each.laddr.ip != "127.0.0.1"):
                    found.add((kind, ("127.0.0.1", each.laddr.port)))
    return found


@contextmanager
def stranger(job: str, mark: Path) -> Iterator[Stranger]:
    made = Stranger(job, mark)
    made.start()
    try:
        yield made
    finally:
        made.over.set()
        made.join()


@pytest.mark.slow
def test_a_run_of_two_pods_ends_right_whoever_connects_to_them_first_and_all_the_while(
    space: Space, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if request.config.getoption("--kube-context"):
        pytest.skip("pods of a far cluster are no processes of this machine")
    training = {"epochs": 4, "batchSize": 4, "learningRate": 0.01}
    with stranger("besieged", tmp_path / "owned") as made:
        space.apply(finetunejob("besieged", training=training, resources={"gpus": 0, "nodes": 2}))
        space.until("besieged", lambda status: status.get("phase") == "Running" or "failure" in status, "its training")
        before = made.connected["entrance"]
        status = space.end_of("besieged")
    print(made.connected, status.get("attempts"))

    assert status["phase"] == "Succeeded", status
    assert (status["progress"]["step"], status["progress"]["totalSteps"]) == (64, 64)
    assert before > 0
    assert made.connected["process"] > 0
    assert made.admitted == []
    assert not (tmp_path / "owned").exists()
