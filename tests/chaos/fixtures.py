"""An operator behind a proxy, a node without containers, and a record of all that the API server showed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.history import CHILDREN, JOB_API, LABEL, History
from tests.chaos.kubelet import Kubelet
from tests.chaos.proxy import Proxy
from tests.integration.fixtures import OperatorProcess, Space, free_port, lease_seconds
from tests.integration.release import Release

from devcluster.cluster import Cluster
from devcluster.testing.api import Api, wait_for
from finetune_operator.settings import Settings

_PREFIX = "FINETUNE_OPERATOR_"
ENDS = ("Succeeded", "Failed")


def chaos_job(name: str, **spec: Any) -> dict[str, Any]:
    """A job for the node without containers."""
    base: dict[str, Any] = {
        "task": "text-classification",
        "model": {"source": "org/model"},
        "dataset": {"source": "org/data", "train": {"split": "train"}},
        "resources": {"gpus": 0},
        # A preflight goes without the selector, and no other scheduler may give it to a node that runs what is in it.
        "pod": {"nodeSelector": {"chaos": "true"}, "schedulerName": "chaos"},
    }
    manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}}
    return {**manifest, "spec": {**base, **spec}}


@dataclass
class Scene:
    """What one test has for itself."""

    space: Space
    proxy: Proxy
    operator: OperatorProcess
    kubelet: Kubelet
    history: History

    @contextmanager
    def second_operator(self, release: Release) -> Iterator[OperatorProcess]:
        """Another one that has a way of its own to the API server. Reports go to whoever leads: both have one address for them."""
        ports = {f"{_PREFIX}{name}_PORT": str(free_port()) for name in ("HEALTH", "METRICS")}
        environment = {**self.operator.environment, **ports, "KUBECONFIG": str(release.kubeconfig)}
        second = OperatorProcess(environment, self.operator.log.with_name("second.log"))
        second.start()
        try:
            yield second
        finally:
            if second.process is not None and second.process.poll() is None:
                second.end()
            print(second.log.read_text()[-20_000:])

    def until(self, name: str, reached: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        return self.space.until(name, reached, what)

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Those that are there, by name: one request, and no program, however many are asked for all the time."""
        found = self.history.api("GET", JOB_API.format(namespace=self.space.namespace)).object()["items"]
        return {raw["metadata"]["name"]: raw for raw in found}

    def end_of(self, *names: str) -> list[str]:
        """The phases in which they end."""
        for name in names:
            # One after the other, each within its time.
            wait_for(lambda: self.have_ended(name), bool, f"the end of {name}")  # noqa: B023
        found = self.jobs()
        return [found[name]["status"]["phase"] for name in names]

    def have_ended(self, *names: str) -> bool:
        """Whether all of them have."""
        found = self.jobs()
        return all(found[name].get("status", {}).get("phase") in ENDS for name in names)

    def attempts(self, name: str) -> list[tuple[int, int, int]]:
        """Number, exit code, and the step that it went on from, of each attempt."""
        attempts = self.space.status(name)["attempts"]
        return [(each["number"], each["exitCode"], each["resumedFromStep"]) for each in attempts]

    def deleted(self, *names: str) -> list[str]:
        """Delete these jobs, and return what stays of them but claims, which outlive a job."""
        found, path = self.jobs(), JOB_API.format(namespace=self.space.namespace)
        uids = {found[name]["metadata"]["uid"] for name in names}
        for name in names:
            self.history.api("DELETE", f"{path}/{name}")
        wait_for(lambda: self.jobs().keys() & {*names}, lambda there: not there, "jobs to go")

        def left() -> list[str]:
            return [
                f"{kind} {raw['metadata']['name']}"
                for kind, path in CHILDREN.items()
                if kind != "persistentvolumeclaims"
                for raw in self.history.api("GET", path.format(namespace=self.space.namespace)).body["items"]
                if raw["metadata"].get("labels", {}).get(LABEL) in uids
            ]

        return wait_for(left, lambda found: not found, "children to go with their jobs")


@contextmanager
def scene(release: Release, folder: Path, **settings: str) -> Iterator[Scene]:
    """A namespace of its own with all of it, the operator ready; only this namespace is served."""
    cluster: Cluster = release.home.cluster
    space = Space(cluster, f"chaos-{os.urandom(3).hex()}")
    space.create()
    proxy = Proxy(release.kubeconfig)
    api = Api(cluster.kubeconfig)
    mounts = folder / "mounts"
    mounts.mkdir()
    with proxy.running():
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            **release.settings,
            "KUBECONFIG": str(proxy.kubeconfig(release.kubeconfig, folder)),
            f"{_PREFIX}WATCH_NAMESPACES": space.namespace,
            f"{_PREFIX}TRAINER_IMAGE": Settings().trainer_image,
            f"{_PREFIX}HEALTH_PORT": str(free_port()),
            f"{_PREFIX}METRICS_PORT": str(free_port()),
            f"{_PREFIX}REPORTS_PORT": str(free_port()),
            f"{_PREFIX}STATUS_INTERVAL": "0.2",
            f"{_PREFIX}LEASE_SECONDS": lease_seconds(),
            f"{_PREFIX}LOG_FORMAT": "text",
            f"{_PREFIX}DEFAULT_PROFILE": "open",
            **{_PREFIX + name: value for name, value in settings.items()},
        }
        made = Scene(
            space, proxy, OperatorProcess(environment, folder / "operator.log"), Kubelet(api, space.namespace, mounts), History(api, space.namespace)
        )  # fmt: skip
        made.history.start()
        made.kubelet.start()
        try:
            made.operator.start()
            yield made
        finally:
            made.proxy.plan = lambda _: None
            if made.operator.process is not None and made.operator.process.poll() is None:
                made.operator.end()
            made.kubelet.stop()
            made.history.stop()
            space.kubectl("delete", "namespace", space.namespace, "--wait=false", "--ignore-not-found")
            print(made.operator.log.read_text()[-20_000:])
        assert made.operator.traceback() is None


@pytest.fixture
def stage(release: Release, tmp_path: Path) -> Iterator[Scene]:
    """A scene for one test."""
    with scene(release, tmp_path) as made:
        yield made
