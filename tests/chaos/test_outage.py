"""A real API server that stops, or ends and is started again: AWAY_SECONDS says for how long, such as 720."""

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.chaos.fixtures import Scene, chaos_job
from tests.integration.fixtures import OperatorProcess
from tests.integration.release import Release

from devcluster.cluster import Cluster
from devcluster.testing.api import wait_for

AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", "30"))
MOST_LOG_BYTES_A_MINUTE = 20_000


@dataclass
class ApiServer:
    """The process of the API server that the session has started."""

    pid: int
    command: list[str]
    log: Path

    @classmethod
    def of(cls, cluster: Cluster) -> "ApiServer":
        """Find it by its folder."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().decode().split("\0")[:-1]
            except OSError:
                continue
            mine = any(str(cluster.state_dir) in each for each in command)
            if command and command[0].endswith("kube-apiserver") and mine:
                return cls(int(folder.name), command, cluster.state_dir / "kube-apiserver.log")
        raise AssertionError("no kube-apiserver runs in this cluster")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It answers nobody, and its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Nobody listens where it was; afterwards another one does."""
        os.kill(self.pid, signal.SIGKILL)
        try:
            yield
        finally:
            with self.log.open("ab") as log:
                self.pid = subprocess.Popen(self.command, stdout=log, stderr=log).pid


@pytest.fixture(scope="session")
def api_server(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[ApiServer]:
    if not os.environ.get("KUBEBUILDER_ASSETS") or request.config.getoption("--kube-context"):
        pytest.skip("only an API server in a process of its own can be stopped: KUBEBUILDER_ASSETS names one")
    # Before all else of the session, and so ended after it: what was made is taken away by way of the API server.
    found = ApiServer.of(cluster)
    first = found.pid
    yield found
    if found.pid != first:
        os.kill(found.pid, signal.SIGTERM)


@pytest.mark.chaos
@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_an_api_server_that_is_away_ends_nothing_and_afterwards_all_goes_on(
    api_server: ApiServer, stage: Scene, way: str
) -> None:
    names = [f"outage-{way}-{number:02}" for number in range(20)]
    stage.kubelet.seconds_a_step, stage.kubelet.steps = 3600.0, 100_000
    over, probes = threading.Event(), Counter[int]()

    def report_and_probe() -> None:
        while not over.wait(1):
            stage.kubelet.train_and_report()
            probes[stage.operator.get("/healthz")[0]] += 1

    pods = threading.Thread(target=report_and_probe, daemon=True)
    pods.start()
    stage.space.apply(*map(chaos_job, names))
    for name in names:
        stage.until(name, lambda status: status.get("progress", {}).get("step", 0) > 0, "numbers")
    written = stage.operator.log.stat().st_size
    with getattr(api_server, way)():
        time.sleep(AWAY_SECONDS)
        said = stage.operator.get("/readyz")
        written = stage.operator.log.stat().st_size - written
    back = time.monotonic()
    wait_for(lambda: stage.operator.get("/readyz")[0], lambda code: code == 200, "the operator to be ready")
    ready = time.monotonic() - back
    before = [stage.space.status(name)["progress"]["step"] for name in names]
    for name, step in zip(names, before, strict=True):
        stage.until(name, lambda status, step=step: status["progress"]["step"] > step, "newer numbers")  # type: ignore[misc]
    moved = time.monotonic() - back
    over.set()
    pods.join()
    stage.kubelet.seconds_a_step = 1e-9
    phases = stage.end_of(*names)

    print(
        f"{way} for {AWAY_SECONDS:.0f} s: {written} bytes of log, ready after {ready:.1f} s, all jobs moved after {moved:.1f} s"
    )
    print(f"answers to reports {dict(stage.kubelet.answers)}, readiness said {said}")
    assert (said[0], list(probes)) == (503, [200])
    assert phases == ["Succeeded"] * len(names)
    assert (stage.kubelet.disowned, {len(pods) for pods in stage.kubelet.uids.values()}) == ([], {1})
    assert written < MOST_LOG_BYTES_A_MINUTE * max(1.0, AWAY_SECONDS / 60)
    assert stage.history.violations() == []


@contextmanager
def killed_at_random(operators: list[OperatorProcess]) -> Iterator[None]:
    """One or the other is killed every few seconds and started again, whatever it is at; all of them are ready in the end."""
    chance, over = random.Random(11), threading.Event()

    def kill() -> None:
        while not over.wait(chance.uniform(1, 6)):
            victim = chance.choice(operators)
            victim.kill()
            victim.wait()
            victim.start_anyway()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()
    for each in operators:
        wait_for(lambda each=each: each.get("/readyz")[0], lambda code: code == 200, "the operator to be ready")  # type: ignore[misc]


@pytest.mark.chaos
def test_two_operators_that_are_killed_at_random_while_the_api_server_goes_and_comes_make_nothing_twice(
    api_server: ApiServer, stage: Scene, release: Release
) -> None:
    names = [f"random-{number:02}-resumes" for number in range(10)]
    stage.kubelet.seconds_a_step = 1.0
    with stage.second_operator(release) as second:
        stage.space.apply(*map(chaos_job, names[:5]))
        for name in names[:5]:
            stage.until(name, lambda status: status.get("progress", {}).get("step", 0) > 0, "numbers")
        with killed_at_random([stage.operator, second]):
            with api_server.stopped():
                time.sleep(AWAY_SECONDS)
            # The rest begins while all this goes on.
            stage.space.apply(*map(chaos_job, names[5:]))
            time.sleep(AWAY_SECONDS)
        stage.kubelet.seconds_a_step = 0.02
        phases = stage.end_of(*names)

    assert phases == ["Succeeded"] * len(names)
    assert [stage.attempts(name) for name in names] == [[(1, 1, 0), (2, 0, 20)]] * len(names)
    assert stage.kubelet.disowned == []
    assert stage.history.violations() == []
