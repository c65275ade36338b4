"""The tests' own way to objects, beside kubectl's."""

import json
from typing import Any

import pytest

from devcluster.cluster import Cluster
from devcluster.testing.api import Api
from devcluster.testing.kinds import Kinds
from devcluster.testing.plugin import Kubectl

MAP: dict[str, Any] = {"metadata": {"name": "a", "labels": {"app": "x"}}, "data": {"a": "b"}}


@pytest.mark.parametrize("name", ["configmaps", "configmap", "cm", "ConfigMap"])
def test_objects_are_found_by_each_name_of_their_kind_as_kubectl_shows_them(
    cluster: Cluster, api: Api, kubectl: Kubectl, namespace: str, name: str
) -> None:
    api("POST", f"/api/v1/namespaces/{namespace}/configmaps", MAP)
    kinds = Kinds.of(cluster.kubeconfig)

    shown = json.loads(kubectl("get", name, "-n", namespace, "a", "-o", "json").stdout)
    listed = json.loads(kubectl("get", name, "-n", namespace, "-l", "app=x", "-o", "json").stdout)["items"]

    assert kinds.get(name, namespace, "a") == shown
    assert kinds.list(name, namespace, "app=x") == listed == [shown]
    assert kinds.get(name, namespace, "b") == {}
    assert kinds.list(name, namespace, "app=y") == []


def test_a_status_is_patched(cluster: Cluster, api: Api) -> None:
    api("POST", "/api/v1/nodes", {"metadata": {"name": "patched"}})

    Kinds.of(cluster.kubeconfig).patch_status("node", "", "patched", {"capacity": {"pods": "3"}})

    assert Kinds.of(cluster.kubeconfig).get("node", "", "patched")["status"]["capacity"] == {"pods": "3"}
    api("DELETE", "/api/v1/nodes/patched")
