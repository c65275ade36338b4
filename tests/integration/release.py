"""A release of the chart in the cluster: all of it but what runs the operator, which runs beside the cluster here.

The dev cluster lets everybody do everything, so that only a real API server proves the rights; the account, its token and the
admission policy are put to use on either.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import kubernetes
import yaml
from tests.integration.space import Space

from devcluster.testing.api import Api, eventually

Json = dict[str, Any]

CHART = Path(__file__).parents[2] / "charts" / "finetune-operator"
NAME = "ft-finetune-operator"
"""Name of what the release `ft` has, its account among it."""
_BESIDE = {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"}
"""What would run the operator inside the cluster, or is about its pod."""
_ONE_DAY = 86_400


@dataclass(frozen=True)
class Release:
    """A release whose account the operator uses."""

    home: Space
    kubeconfig: Path
    """The cluster's, with a token of the release's account in place of the administrator's."""
    settings: dict[str, str]
    """What the operator is told, by its environment."""


def rendered(values: Json, namespace: str) -> list[Json]:
    """The objects of the release `ft`, but for the definitions and their policy."""
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render({**values, "crds": {"install": False}}, name="ft", namespace=namespace)
    documents = [
        each
        for path, text in files.items()
        if path.endswith(".yaml")
        for each in yaml.load_all(text, Loader=yaml.CSafeLoader)
    ]
    return [each for each in documents if each]


@contextmanager
def installed(home: Space, folder: Path, values: Json | None = None) -> Iterator[Release]:
    """A release in the namespace `home`, whose policy is in force; uninstalled at the end."""
    values, anywhere = values or {}, Space(home.cluster, "")
    objects = [each for each in rendered(values, home.namespace) if each["kind"] not in _BESIDE]
    anywhere.kubectl("apply", "-f", "-", stdin=_stream(objects))
    try:
        release = Release(
            home,
            _account_kubeconfig(home, folder),
            {
                "FINETUNE_OPERATOR_NAMESPACE": home.namespace,
                "FINETUNE_OPERATOR_WATCH_NAMESPACES": ",".join(values.get("watchNamespaces", [])),
                "FINETUNE_OPERATOR_KUEUE": json.dumps(values.get("kueue", False)),
                "FINETUNE_OPERATOR_SECRET_NAME": f"{NAME}-reports",
            },
        )
        _wait_for_the_policy(release)
        yield release
    finally:
        anywhere.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=_stream(objects))


def _stream(objects: list[Json]) -> str:
    return "\n---\n".join(map(json.dumps, objects))


def _account_kubeconfig(home: Space, folder: Path) -> Path:
    request = {"spec": {"audiences": [], "expirationSeconds": _ONE_DAY}}
    with kubernetes.config.new_client_from_config(str(home.cluster.kubeconfig)) as client:
        core = kubernetes.client.CoreV1Api(client)
        answer = core.create_namespaced_service_account_token(
            NAME, home.namespace, request, _headers={"Content-Type": "application/json"}
        )
    config = yaml.safe_load(home.cluster.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": answer.status.token}
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return kubeconfig


def _wait_for_the_policy(release: Release) -> None:
    """An API server goes by a new policy only after a moment. A Secret, since that may be created at home in any release."""
    secrets = f"/api/v1/namespaces/{release.home.namespace}/secrets?dryRun=All"
    api = Api(release.kubeconfig)
    refused = lambda: "controls" in api("POST", secrets, {"metadata": {"name": "probe"}}).body.get("message", "")  # noqa: E731
    eventually(refused, "the operator's policy to be in force")
