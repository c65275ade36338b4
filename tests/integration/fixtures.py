"""The operator as a process of its own, and namespaces in which jobs find a tiny model and a little text."""

import os
import signal
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from tests.integration import seed
from tests.integration.release import Release, installed
from tests.integration.space import Space

from devcluster.cluster import Cluster
from devcluster.ports import free_ports
from devcluster.testing.api import PATIENCE, wait_for
from finetune_api.v1alpha1 import GROUP
from finetune_operator.settings import Settings

ROOT = Path(__file__).parents[2]
_IMPATIENT = Path(__file__).with_name("impatient.py")
_PREFIX = "FINETUNE_OPERATOR_"
_SHORTEST_LEASE, _LONGEST_LEASE = 3.0, 10.0


STAND_IN = "example.invalid/trainer:stand-in"
STAND_IN_FOLDER = Path(__file__).with_name("stand_in")
"""What Python finds in that image."""
THREAD = {"name": "OMP_NUM_THREADS", "value": "1"}
StandIn = Callable[..., dict[str, Any]]

_BY_AN_EXCEPTION = 1
"""The exit code of Python."""
_TRACEBACK_CHARACTERS = 8000


@dataclass
class OperatorProcess:
    """`python -m finetune_operator`, that can be ended and started again."""

    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)
    program: tuple[str, ...] = ("-m", "finetune_operator")

    def start(self) -> None:
        """Start, and wait until it is ready."""
        self.start_anyway()
        assert self.process is not None
        try:
            wait_for(self._ready, bool, "the operator to be ready")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def start_anyway(self) -> None:
        """Start, and wait for nothing."""
        with self.log.open("ab") as log:
            command = [sys.executable, *self.program]
            self.process = subprocess.Popen(command, env=self.environment, stderr=log, stdout=log)
        threading.Thread(target=self._raise_crash, args=[self.process], daemon=True).start()

    def _raise_crash(self, process: subprocess.Popen[bytes]) -> None:
        """Let the test that waits for something fail at once, by what ended the operator, and not by its patience."""
        if process.wait() == _BY_AN_EXCEPTION:
            raise AssertionError(f"the operator has ended by itself:\n{self.traceback()}")

    def traceback(self) -> str | None:
        """The first one in its log, which has one for each error that nobody has thought of."""
        _, found, rest = self.log.read_text().partition("Traceback (most recent call last)")
        return found + rest[:_TRACEBACK_CHARACTERS] if found else None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)

    def kill(self) -> None:
        """End it at once, from any thread."""
        assert self.process is not None
        self.process.kill()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(timeout=PATIENCE)

    def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.environment[_PREFIX + 'HEALTH_PORT']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, HTTPException):  # nobody listens, or it was killed in the middle of its answer
            return 0, ""

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return self.get("/readyz")[0] == 200


def lease_seconds() -> str:
    """How long an operator's Lease holds: as short as it may be, or on a busy machine so long that a leader that waits for a core keeps it."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return str(round(min(_LONGEST_LEASE, max(_SHORTEST_LEASE, _SHORTEST_LEASE * load))))


def reason_of(status: dict[str, Any]) -> str:
    """That of the condition Ready."""
    return next(str(each["reason"]) for each in status["conditions"] if each["type"] == "Ready")


def finetunejob(name: str, **spec: Any) -> dict[str, Any]:
    """A job on the tiny model, of a few seconds; `spec` replaces whole fields."""
    base: dict[str, Any] = {
        "task": "text-classification",
        "model": {"source": "pvc://seed/model"},
        "dataset": {"source": "pvc://seed/data", "train": {"split": "train"}, "evaluation": {"split": "test"}},
        "preprocessing": {"maxLength": 16},
        "training": {"epochs": 4, "batchSize": 8, "learningRate": 0.01},
        "evaluation": {"metrics": ["accuracy"], "bestMetric": "accuracy"},
        "checkpoints": {"keep": 2},
        "resources": {"gpus": 0},
        "pod": {"env": [THREAD]},
    }
    metadata = {"name": name}
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": metadata,
        "spec": {**base, **spec},
    }


def restricted_pod(name: str, containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    """A pod that Pod Security's level restricted takes, as namespaces of tests enforce it."""
    closed = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    user = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532}
    spec["securityContext"] = {**user, "seccompProfile": {"type": "RuntimeDefault"}}
    spec["containers"] = [{**each, "securityContext": closed} for each in containers]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="session")
def finetune_crd(cluster: Cluster) -> Cluster:
    """The cluster, with our CustomResourceDefinitions in it."""
    space = Space(cluster, "default")
    for plural in ("finetunejobs", "finetuneprofiles"):
        space.kubectl("apply", "--server-side", "-f", str(ROOT / "crds" / f"{plural}.yaml"))
        established = ("wait", "--for=condition=Established", f"crd/{plural}.{GROUP}", f"--timeout={PATIENCE:g}s")
        # Asked at once, a real API server has no conditions yet, which kubectl takes for an error.
        wait_for(lambda: space.kubectl(*established, check=False), lambda said: "condition met" in said, "the CRD")  # noqa: B023
    return cluster


@pytest.fixture(scope="session")
def release(finetune_crd: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """The chart's release whose account the session's operator uses, as the operator of a cluster would."""
    home = Space(finetune_crd, f"release-{uuid.uuid4().hex[:8]}")
    home.create()
    with installed(home, tmp_path_factory.mktemp("release"), {"kueue": True}) as made:
        yield made
    home.kubectl("delete", "namespace", home.namespace, "--wait=false")


@pytest.fixture(scope="session")
def operator_process(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """The operator, for all tests of the session. Settings in the environment of pytest win, as for a far cluster."""
    folder = tmp_path_factory.mktemp("operator")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "KUBECONFIG": str(release.kubeconfig),
        **release.settings,
        f"{_PREFIX}TRAINER_IMAGE": Settings().trainer_image,
        f"{_PREFIX}HEALTH_PORT": str(free_port()),
        f"{_PREFIX}METRICS_PORT": str(free_port()),
        # The same after a restart: pods that run know no other.
        f"{_PREFIX}REPORTS_PORT": str(free_port()),
        f"{_PREFIX}STATUS_INTERVAL": "0.5",
        f"{_PREFIX}LEASE_SECONDS": lease_seconds(),
        f"{_PREFIX}LOG_FORMAT": "text",
        # What a profile rules has tests of its own; the others are about jobs that may do anything.
        f"{_PREFIX}DEFAULT_PROFILE": "open",
        **{name: value for name, value in os.environ.items() if name.startswith(_PREFIX)},
    }
    process = OperatorProcess(environment, folder / "operator.log", program=(str(_IMPATIENT),))
    process.start()
    yield process
    process.end()
    print(process.log.read_text())


@pytest.fixture(scope="session")
def space(operator_process: OperatorProcess, finetune_crd: Cluster) -> Iterator[Space]:
    """A namespace with the claim `seed`, which most tests share."""
    with seeded(finetune_crd) as made:
        yield made


def volume_claim(name: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


@contextmanager
def seeded(cluster: Cluster) -> Iterator[Space]:
    """A fresh namespace with the claim `seed`, and in that a model and data."""
    made = Space(cluster, f"jobs-{uuid.uuid4().hex[:8]}")
    made.create()
    container = {
        "name": "seed",
        "image": Settings().trainer_image,
        "command": seed.command("/seed"),
        "volumeMounts": [{"name": "seed", "mountPath": "/seed"}],
    }
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "seed", "persistentVolumeClaim": {"claimName": "seed"}}],
    }
    made.apply(
        volume_claim("seed"),
        restricted_pod("seed", **pod),
    )
    phase = lambda: made.get("pod", "seed").get("status", {}).get("phase")  # noqa: E731
    wait_for(phase, lambda now: now in ("Succeeded", "Failed"), "the seed")
    assert phase() == "Succeeded", made.kubectl("logs", "seed", check=False)
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--wait=false")


def free_port() -> int:
    """One for a process that may start again."""
    (port,) = free_ports(1)
    return port


@pytest.fixture(scope="session")
def stand_in(request: pytest.FixtureRequest) -> StandIn:
    """What `pod` of a job is whose trainer does all but train, for what is about the operator. A far cluster trains in earnest."""

    def pod(*, holds: bool = False) -> dict[str, Any]:
        """One that `holds` stays half way until it is asked to stop; the attempt after that goes on to the end."""
        if request.config.getoption("--kube-context"):
            return {"env": [THREAD]}
        return {"image": STAND_IN, "env": [THREAD, *([{"name": "STAND_IN_HOLDS", "value": "1"}] if holds else [])]}

    return pod


@pytest.fixture(scope="session")
def enforced_quotas(request: pytest.FixtureRequest) -> None:
    """Skip what is about ResourceQuotas where nothing enforces them: `make test-integration` runs it."""
    if not (os.environ.get("KUBEBUILDER_ASSETS") or request.config.getoption("--kube-context")):
        pytest.skip("the dev cluster enforces no ResourceQuota; a real control plane does")


@pytest.fixture(scope="session")
def enforced_rights(request: pytest.FixtureRequest) -> None:
    """Skip what is about rights where everybody has all of them: `make test-integration` runs it."""
    if not (os.environ.get("KUBEBUILDER_ASSETS") or request.config.getoption("--kube-context")):
        pytest.skip("everybody may do everything on the dev cluster; a real control plane has RBAC")
