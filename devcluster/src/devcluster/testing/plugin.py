"""A pytest plugin with the cluster that integration tests run on, and kubectl and plain HTTP as its clients.

It is the dev cluster unless KUBEBUILDER_ASSETS names a folder with etcd, kube-apiserver and kube-controller-manager
(envtest's convention), or --kube-context names a context of the user's kubeconfig.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import devcluster.testing.light_client  # noqa: F401 - before anything imports the client
from devcluster import cluster as dev_cluster
from devcluster import envtest
from devcluster.cluster import Cluster, Options
from devcluster.testing import threads
from devcluster.testing.api import PATIENCE, Api, eventually
from devcluster.testing.kubectl import KUBECTL, run_kubectl

Kubectl = Callable[..., subprocess.CompletedProcess[str]]

OPTIONS = Options(gpus=2, job_backoff=0.2, restart_delay=0.2)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kube-context",
        default=None,
        help="run the integration tests on the cluster of this kubeconfig context instead of the dev cluster",
    )


@pytest.hookimpl(trylast=True)  # pytest's own hook is there then, and goes on to make the end of a thread a warning
def pytest_configure() -> None:
    threads.note_ends()
    threads.let_them_make_loggers()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    threads.forget_ends()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    try:
        yield
    finally:
        threads.forget_ends()  # what a test has is taken away all the same


@pytest.fixture(scope="session")
def cluster_options() -> Options:
    """Those of the session's cluster. A conftest of the suite's root may have others."""
    return OPTIONS


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest, cluster_options: Options, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """The cluster of the session."""
    state_dir = tmp_path_factory.mktemp("cluster")
    context = request.config.getoption("--kube-context")
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if context:
        yield _existing_cluster(context, state_dir)
    elif assets:
        with envtest.start(Path(assets), state_dir, cluster_options) as started:
            yield started
    else:
        with dev_cluster.start(state_dir, cluster_options) as started:
            yield started


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    """Run kubectl with the given arguments; it fails the test on a non-zero exit unless `check=False`."""

    def run(
        *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        done = run_kubectl(cluster.kubeconfig, *arguments, stdin=stdin, timeout=timeout)
        if check and done.returncode != 0:
            pytest.fail(f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done

    return run


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Api:
    """Plain requests to the cluster's API server."""
    return Api(cluster.kubeconfig)


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A fresh namespace whose default service account exists; deleted after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    made = api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    if made.code != 201:
        pytest.fail(f"the namespace is refused: {made.body}")
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    eventually(lambda: api("GET", account).code == 200, "the default service account")
    yield name
    api("DELETE", f"/api/v1/namespaces/{name}")


def _existing_cluster(context: str, state_dir: Path) -> Cluster:
    flat = subprocess.run(
        [str(KUBECTL), "config", "view", f"--context={context}", "--minify", "--flatten", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kubeconfig = state_dir / "kubeconfig"
    kubeconfig.write_text(flat)
    return Cluster(kubeconfig, json.loads(flat)["clusters"][0]["cluster"]["server"], state_dir)
