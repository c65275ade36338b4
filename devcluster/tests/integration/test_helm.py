"""A release of Helm, from its installation to its end."""

import json
from pathlib import Path

import pytest

from devcluster.cluster import Cluster
from devcluster.testing.plugin import Kubectl

helm_python = pytest.importorskip("helm_python", reason="Helm has no wheel for this machine")

TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: {{ .Values.level }}}\n"


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 1.0.0\n")
    (tmp_path / "values.yaml").write_text("level: info\n")
    (tmp_path / "templates" / "settings.yaml").write_text(TEMPLATE)
    return tmp_path


def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(
    cluster: Cluster, kubectl: Kubectl, namespace: str, chart: Path
) -> None:
    def level() -> str:
        text = kubectl("get", "configmap", "settings", "-n", namespace, "--ignore-not-found", "-o", "json").stdout
        return str(json.loads(text)["data"]["level"]) if text else ""

    with helm_python.Config(kubeconfig_path=cluster.kubeconfig, namespace=namespace) as helm:
        helm.install(chart, "small", namespace=namespace)
        installed = level()
        helm.upgrade(chart, "small", {"level": "debug"}, namespace=namespace)
        upgraded = level()
        helm.rollback("small", version=1)
        rolled_back = level()
        revisions = [release["revision"] for release in helm.history("small")]
        helm.uninstall("small")

    assert (installed, upgraded, rolled_back, level()) == ("info", "debug", "info", "")
    assert revisions == [1, 2, 3]
    assert kubectl("get", "secrets", "-n", namespace, "-l", "owner=helm", "-o", "name").stdout == ""
