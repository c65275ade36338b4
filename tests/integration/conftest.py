"""The cluster that integration tests run on: the dev cluster, a real control plane, or one that is there.

KUBEBUILDER_ASSETS names a folder with etcd, kube-apiserver and kube-controller-manager (envtest's convention);
--kube-context names a context of the user's kubeconfig. Without either it is the dev cluster.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.api import Api, eventually
from tests.integration.fixtures import finetune_crd, operator_process, space  # noqa: F401

from devcluster import cluster as dev_cluster
from devcluster import envtest
from devcluster.cluster import Cluster, Options

Kubectl = Callable[..., subprocess.CompletedProcess[str]]

KUBECTL = Path(os.sys.executable).with_name("kubectl")
OPTIONS = Options(gpus=2, job_backoff=0.2, restart_delay=0.2)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    state_dir = tmp_path_factory.mktemp("cluster")
    context = request.config.getoption("--kube-context")
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if context:
        yield _present_cluster(context, state_dir)
    elif assets:
        with envtest.start(Path(assets), state_dir, OPTIONS) as started:
            yield started
    else:
        with dev_cluster.start(state_dir, OPTIONS) as started:
            yield started


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    """Runs kubectl with the given arguments; it fails the test on a non-zero exit unless `check=False`."""

    def run(
        *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        command = [str(KUBECTL), f"--kubeconfig={cluster.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        if check:
            assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Api:
    """Plain requests to the cluster's API server."""
    return Api(cluster.kubeconfig)


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A fresh namespace whose default service account is there; deleted after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    assert api("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).code == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    eventually(lambda: api("GET", account).code == 200, "the default service account", 30)
    yield name
    api("DELETE", f"/api/v1/namespaces/{name}")


def _present_cluster(context: str, state_dir: Path) -> Cluster:
    flat = subprocess.run(
        [str(KUBECTL), "config", "view", f"--context={context}", "--minify", "--flatten", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kubeconfig = state_dir / "kubeconfig"
    kubeconfig.write_text(flat)
    return Cluster(kubeconfig, json.loads(flat)["clusters"][0]["cluster"]["server"], state_dir)
