"""The operator as a process of its own, and namespaces in which jobs find a tiny model and a little text."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import CustomObjectsApi
from kubernetes.config import new_client_from_config

from devcluster.cluster import Cluster
from devcluster.testing.api import PATIENCE, wait_for
from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION
from finetune_operator.settings import Settings

ROOT = Path(__file__).parents[2]
_SEED = Path(__file__).with_name("seed_volume.py").read_text()
_PREFIX = "FINETUNE_OPERATOR_"


@dataclass
class OperatorProcess:
    """`python -m finetune_operator`, that can be ended and started again."""

    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "finetune_operator"]
            self.process = subprocess.Popen(command, env=self.environment, stderr=log, stdout=log)
        try:
            wait_for(self._ready, bool, "the operator to be ready")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)

    def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.environment[_PREFIX + 'HEALTH_PORT']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return self.get("/readyz")[0] == 200


@dataclass(frozen=True)
class Space:
    """A namespace, and kubectl in it."""

    cluster: Cluster
    namespace: str

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """What kubectl prints, errors included; it fails the test on a non-zero exit unless `check=False`."""
        program = str(Path(sys.executable).with_name("kubectl"))
        command = [program, f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, manifests)))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object, or {} if there is none."""
        text = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text else {}

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return found

    def patch(self, name: str, spec: dict[str, Any]) -> None:
        self.kubectl("patch", "ftj", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def status(self, name: str) -> dict[str, Any]:
        """The status, or {} if there is none. Not by kubectl: it is asked for again and again."""
        found = _objects(self.cluster.kubeconfig).get_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, name
        )
        status: dict[str, Any] = found.get("status", {})
        return status

    def until(self, name: str, reached: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """The first status that is as wanted."""
        return wait_for(lambda: self.status(name), reached, f"{name}: {what}")

    def end_of(self, name: str) -> dict[str, Any]:
        """The status at the end of the job, good or bad."""
        return self.until(name, lambda status: status.get("phase") in ("Succeeded", "Failed"), "an end")


def reason_of(status: dict[str, Any]) -> str:
    """That of the condition Ready."""
    return next(str(each["reason"]) for each in status["conditions"] if each["type"] == "Ready")


@cache
def _objects(kubeconfig: Path) -> CustomObjectsApi:
    return CustomObjectsApi(new_client_from_config(str(kubeconfig)))


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
        "pod": {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
    }
    metadata = {"name": name}
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": metadata,
        "spec": {**base, **spec},
    }


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
def operator_process(finetune_crd: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """The operator, for all tests of the session. Settings in the environment of pytest win, as for a far cluster."""
    folder = tmp_path_factory.mktemp("operator")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "KUBECONFIG": str(finetune_crd.kubeconfig),
        f"{_PREFIX}TRAINER_IMAGE": Settings().trainer_image,
        f"{_PREFIX}HEALTH_PORT": str(_free_port()),
        # The same after a restart: pods that run know no other.
        f"{_PREFIX}REPORTS_PORT": str(_free_port()),
        f"{_PREFIX}STATUS_INTERVAL": "0.5",
        f"{_PREFIX}LOG_FORMAT": "text",
        **{name: value for name, value in os.environ.items() if name.startswith(_PREFIX)},
    }
    process = OperatorProcess(environment, folder / "operator.log")
    process.start()
    yield process
    process.end()
    print(process.log.read_text())


@pytest.fixture(scope="session")
def space(operator_process: OperatorProcess, finetune_crd: Cluster) -> Iterator[Space]:
    """A namespace with the claim `seed`, which most tests share."""
    with seeded(finetune_crd) as made:
        yield made


@contextmanager
def seeded(cluster: Cluster) -> Iterator[Space]:
    """A fresh namespace with the claim `seed`, and in that a model and data."""
    made = Space(cluster, f"jobs-{uuid.uuid4().hex[:8]}")
    made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}})
    wait_for(lambda: made.get("serviceaccount", "default"), bool, "the default service account")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    container = {
        "name": "seed",
        "image": Settings().trainer_image,
        "command": ["python", "-c", _SEED, "/seed"],
        "volumeMounts": [{"name": "seed", "mountPath": "/seed"}],
    }
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "seed", "persistentVolumeClaim": {"claimName": "seed"}}],
        "securityContext": {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532},
    }
    made.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "seed"}, "spec": claim},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "seed"}, "spec": pod},
    )
    phase = lambda: made.get("pod", "seed").get("status", {}).get("phase")  # noqa: E731
    wait_for(phase, lambda now: now in ("Succeeded", "Failed"), "the seed")
    assert phase() == "Succeeded", made.kubectl("logs", "seed", check=False)
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--wait=false")


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port
