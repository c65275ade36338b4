"""Who may report for which job, asked with the cluster's own tokens. The pods wait for a node that is not there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import requests
from tests.integration.fixtures import OperatorProcess, Space, finetunejob, restricted_pod

from devcluster.testing.api import wait_for
from finetune_api.report import AUDIENCE
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import report_path

REPORT = {"report": {"sequence": 1, "stage": "Training"}}
NOWHERE = {"nodeSelector": {"example.com/nowhere": "here"}}


@dataclass(frozen=True)
class Reporting:
    """A namespace with the waiting jobs a and b, and the endpoint that their pods would report to."""

    space: Space
    root: str
    ca: Path

    def pod_of(self, job: str) -> str:
        pods: list[dict[str, Any]] = self.space.list("pods", f"finetune.dev/job-name={job}")
        return str(pods[0]["metadata"]["name"]) if pods else ""

    def token(self, pod: str = "", audience: str = AUDIENCE) -> str:
        """A token of the default account, bound to a pod if one is named, as a kubelet asks for it."""
        spec: dict[str, Any] = {"audiences": [audience], "expirationSeconds": 600}
        if pod:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod}
        with kubernetes.config.new_client_from_config(str(self.space.cluster.kubeconfig)) as client:
            answer = kubernetes.client.CoreV1Api(client).create_namespaced_service_account_token(
                "default", self.space.namespace, {"spec": spec}, _headers={"Content-Type": "application/json"}
            )
            return str(answer.status.token)

    def post(self, token: str, job: str) -> int:
        """The answer, once the operator's caches hold the pod, or have had the time to."""
        return wait_for(lambda: self._post(token, job), lambda status: status != 503, "an answer for good")

    def _post(self, token: str, job: str) -> int:
        url = self.root + report_path(Key(self.space.namespace, job))
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(url, json=REPORT, headers=headers, verify=self.ca, timeout=10).status_code


@pytest.fixture(scope="module")
def reporting(space: Space, operator_process: OperatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Reporting:
    for job in ("report-a", "report-b"):
        space.apply(finetunejob(job, pod=NOWHERE))
    ca = tmp_path_factory.mktemp("reports") / "ca.crt"
    root = f"https://127.0.0.1:{operator_process.environment['FINETUNE_OPERATOR_REPORTS_PORT']}"
    reporting = Reporting(space, root, ca)
    for job in ("report-a", "report-b"):
        wait_for(lambda job=job: reporting.pod_of(job), bool, f"a pod of {job}")
    ca.write_text(space.get("configmap", "report-a-ca")["data"]["ca.crt"])
    return reporting


def test_a_pod_reports_for_its_own_job_and_for_no_other(reporting: Reporting) -> None:
    token = reporting.token(reporting.pod_of("report-a"))

    assert [reporting.post(token, job) for job in ("report-a", "report-b")] == [200, 403]


@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param(lambda at: at.token(at.pod_of("report-a"), audience="another.example.com"), 401, id="audience"),
        pytest.param(lambda at: at.token(at.pod_of("report-a"))[:-8] + "AAAAAAAA", 401, id="signature"),
        pytest.param(lambda at: at.token(), 403, id="bound to no pod"),
        pytest.param(lambda at: at.token("seed"), 403, id="a pod of no job"),
    ],
)
def test_other_tokens_are_refused(reporting: Reporting, token: Callable[[Reporting], str], status: int) -> None:
    assert reporting.post(token(reporting), "report-a") == status


def test_the_token_of_a_pod_that_is_gone_is_refused(reporting: Reporting) -> None:
    container = {"name": "stray", "image": "stray", "command": ["true"]}
    reporting.space.apply(restricted_pod("stray", [container], **NOWHERE))
    token = reporting.token("stray")

    reporting.space.kubectl("delete", "pod", "stray", "--grace-period=0", "--force")

    assert reporting.post(token, "report-a") == 403


def test_a_pod_with_a_forged_owner_reference_reports_for_nobody(reporting: Reporting) -> None:
    """Of an apiVersion that does not exist: a pod with a wrong uid is deleted at once, and this one never."""
    job = reporting.space.get("job", "report-a")
    uid = job["metadata"]["uid"]
    owner = {"apiVersion": "batch/v9", "kind": "Job", "name": "report-a", "uid": uid, "controller": True}
    labels = {"finetune.dev/job-uid": job["metadata"]["labels"]["finetune.dev/job-uid"]}
    metadata = {"name": "forged", "labels": labels, "ownerReferences": [owner]}
    spec = job["spec"]["template"]["spec"]
    reporting.space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    assert reporting.post(reporting.token("forged"), "report-a") == 403
