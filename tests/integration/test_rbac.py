"""The operator under exactly the rights that the chart gives it: a job must go through, in all namespaces or in one.

The dev cluster lets everybody do everything, so that only a real API server proves the rights there; the chart's
objects, the account and its token are put to use on either.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import kubernetes
import pytest
import yaml
from tests.integration.fixtures import ROOT, OperatorProcess, Space, finetunejob, seeded

from devcluster.cluster import Cluster

Json = dict[str, Any]

CHART = ROOT / "charts" / "finetune-operator"
ACCOUNT = "ft-finetune-operator"
"""ServiceAccount of the release `ft`."""
BESIDE = {"Deployment", "Service"}
"""What would run the operator inside the cluster; here it runs beside it."""


@pytest.fixture(scope="module")
def alone(operator_process: OperatorProcess) -> Iterator[OperatorProcess]:
    """The session's operator, which may do everything, stands still meanwhile: it would do the work of ours."""
    operator_process.end()
    yield operator_process
    operator_process.start()


@pytest.fixture(scope="module")
def home(finetune_crd: Cluster) -> Iterator[Space]:
    """A namespace for the release, with a model and data for the job."""
    with seeded(finetune_crd) as made:
        yield made


def rendered(values: Json, namespace: str) -> list[Json]:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render({**values, "crds": {"install": False}}, name="ft", namespace=namespace)
    documents = [each for path, text in files.items() if path.endswith(".yaml") for each in yaml.safe_load_all(text)]
    return [each for each in documents if each]


def account_kubeconfig(home: Space, folder: Path) -> Path:
    """The cluster's kubeconfig with a token of the chart's ServiceAccount in place of the administrator's."""
    request = {"spec": {"audiences": [], "expirationSeconds": 3600}}
    with kubernetes.config.new_client_from_config(str(home.cluster.kubeconfig)) as client:
        core = kubernetes.client.CoreV1Api(client)
        answer = core.create_namespaced_service_account_token(
            ACCOUNT, home.namespace, request, _headers={"Content-Type": "application/json"}
        )
    config = yaml.safe_load(home.cluster.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": answer.status.token}
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return kubeconfig


def test_the_cluster_takes_every_object_of_the_chart(home: Space) -> None:
    objects = rendered({}, home.namespace)

    taken = home.kubectl("apply", "--dry-run=server", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))

    assert taken.count("created (server dry run)") == len(objects)


@pytest.mark.parametrize("scope", ["all namespaces", "one namespace"])
def test_a_job_goes_through_under_the_rights_of_the_chart(
    alone: OperatorProcess, home: Space, tmp_path: Path, scope: str
) -> None:
    job = "rights-in-" + scope.replace(" ", "-")
    watched = home.namespace if scope == "one namespace" else ""
    objects = [each for each in rendered({"watchNamespace": watched}, home.namespace) if each["kind"] not in BESIDE]
    home.apply(*objects)
    settings = {
        "KUBECONFIG": str(account_kubeconfig(home, tmp_path)),
        "FINETUNE_OPERATOR_NAMESPACE": home.namespace,
        "FINETUNE_OPERATOR_WATCH_NAMESPACE": watched,
        "FINETUNE_OPERATOR_SECRET_NAME": f"{ACCOUNT}-reports",
    }
    operator = OperatorProcess(alone.environment | settings, tmp_path / "operator.log")
    operator.start()
    try:
        many = finetunejob(f"{job}-many", resources={"gpus": 0, "nodes": 2}, suspend=True)
        home.apply(finetunejob(job, training={"epochs": 2, "batchSize": 8}), many)
        status = home.end_of(job)
        suspended = home.until(f"{job}-many", lambda status: status.get("phase") == "Suspended", "its Job")
        events = [event for event in home.list("events") if event["involvedObject"]["name"] == job]
    finally:
        operator.end()
        home.kubectl("delete", *(f"{each['kind']}/{each['metadata']['name']}" for each in objects))

    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    # Its Job is made after its Service.
    assert suspended["message"] == "suspended; set spec.suspend to false to go on"
    # Only a report makes a job Running, so TokenReviews are allowed; and only an Event that was allowed is seen.
    assert {"Running", "Succeeded"} <= {event["reason"] for event in events}
    log = operator.log.read_text()
    assert "Forbidden" not in log, log
