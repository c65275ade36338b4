"""Who may report for which job, asked with the cluster's own tokens. The pods wait for a node that is not there."""

import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import requests
from tests.integration.fixtures import OperatorProcess, Space, finetunejob, restricted_pod

from devcluster.testing.api import PATIENCE, wait_for
from finetune_api.report import AUDIENCE
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import report_path
from finetune_trainer.progress.endpoint import Endpoint

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

    def post(self, token: str, job: str, body: Any = REPORT) -> int:
        """The answer, once the operator's caches hold the pod, or have had the time to."""
        return wait_for(lambda: self.try_to_post(token, job, body), lambda status: status != 503, "an answer for good")

    def try_to_post(self, token: str, job: str, body: Any = REPORT) -> int:
        url = self.root + report_path(Key(self.space.namespace, job))
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(url, json=body, headers=headers, verify=self.ca, timeout=PATIENCE).status_code


@pytest.fixture(scope="module")
def reporting(space: Space, operator_process: OperatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Reporting:
    for job in ("report-a", "report-b"):
        space.apply(finetunejob(job, pod=NOWHERE))
    ca = tmp_path_factory.mktemp("reports") / "ca.crt"
    root = f"https://127.0.0.1:{operator_process.environment['FINETUNE_OPERATOR_REPORTS_PORT']}"
    reporting = Reporting(space, root, ca)
    for job in ("report-a", "report-b"):
        wait_for(lambda job=job: reporting.pod_of(job), bool, f"a pod of {job}")
    ca.write_text(space.get("configmap", "finetune-operator-ca")["data"]["ca.crt"])
    return reporting


def test_a_pod_reports_for_its_own_job_and_for_no_other(reporting: Reporting) -> None:
    token = reporting.token(reporting.pod_of("report-a"))

    assert [reporting.post(token, job) for job in ("report-a", "report-b")] == [200, 403]


def test_the_trainer_s_own_client_keeps_its_connection_and_is_told_when_to_report_next(
    reporting: Reporting, tmp_path: Path
) -> None:
    token = reporting.token(reporting.pod_of("report-a"))
    reporting.post(token, "report-a")
    (tmp_path / "token").write_text(token)
    url = reporting.root + report_path(Key(reporting.space.namespace, "report-a"))
    endpoint = Endpoint(url, reporting.ca, tmp_path / "token")

    answers, sockets = [], set()
    for sequence in (2, 3, 4):
        report = {"report": {"sequence": sequence, "stage": "Training", "progress": {"step": sequence}}}
        answers.append(endpoint.post(json.dumps(report).encode(), PATIENCE).next_report_seconds)
        assert endpoint._connection is not None
        sockets.add(endpoint._connection.sock)
    endpoint.close()

    assert len(sockets) == 1
    assert all(seconds and seconds < 3 for seconds in answers)


def test_a_pod_that_was_removed_while_its_container_lives_on_is_told_so_at_once(
    reporting: Reporting, tmp_path: Path
) -> None:
    reporting.space.apply(finetunejob("report-c", pod=NOWHERE))
    pod = wait_for(lambda: reporting.pod_of("report-c"), bool, "a pod of report-c")
    token = reporting.token(pod)
    before = reporting.post(token, "report-c")

    # As when its node is lost, and whoever has given it up takes the Job's finalizer away.
    reporting.space.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
    patch = '{"metadata": {"finalizers": null}}'
    reporting.space.kubectl("patch", "pod", pod, "--type=merge", "-p", patch, check=False)
    answers: list[int] = []

    def report_again() -> int:
        answers.append(reporting.try_to_post(token, "report-c"))
        return answers[-1]

    wait_for(report_again, lambda status: status == 403, "the refusal")

    assert before == 200
    assert set(answers) <= {200, 403}


@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param(lambda at: at.token(at.pod_of("report-a"), audience="another.example.com"), 401, id="audience"),
        pytest.param(lambda at: at.token(at.pod_of("report-a"))[:-8] + "AAAAAAAA", 401, id="signature"),
        pytest.param(lambda at: at.token(), 403, id="bound to no pod"),
    ],
)
def test_other_tokens_are_refused(reporting: Reporting, token: Callable[[Reporting], str], status: int) -> None:
    assert reporting.post(token(reporting), "report-a") == status


def test_pods_that_are_gone_of_no_job_or_only_look_like_ours_report_for_nobody(reporting: Reporting) -> None:
    container = {"name": "stray", "image": "stray", "command": ["true"]}
    reporting.space.apply(restricted_pod("stray", [container], **NOWHERE))
    make_pod_with_forged_owner(reporting.space)
    tokens = [reporting.token(pod) for pod in ("seed", "stray", "forged")]
    reporting.space.kubectl("delete", "pod", "stray", "--grace-period=0", "--force")

    answers = [reporting.try_to_post(token, "report-a") for token in tokens]

    # 403 only once the caches are known to be newer than the question.
    assert set(answers) <= {503, 403}


def make_pod_with_forged_owner(space: Space) -> None:
    """A pod whose owner has an apiVersion that does not exist: one with a wrong uid is deleted at once, and this one never."""
    job = space.get("job", "report-a")
    uid = job["metadata"]["uid"]
    owner = {"apiVersion": "batch/v9", "kind": "Job", "name": "report-a", "uid": uid, "controller": True}
    labels = {"finetune.dev/job-uid": job["metadata"]["labels"]["finetune.dev/job-uid"]}
    metadata = {"name": "forged", "labels": labels, "ownerReferences": [owner]}
    space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": job["spec"]["template"]["spec"]})


def test_a_crowd_of_idle_connections_shuts_out_neither_pods_nor_probes(
    reporting: Reporting, operator_process: OperatorProcess
) -> None:
    ports = [int(operator_process.environment[f"FINETUNE_OPERATOR_{name}_PORT"]) for name in ("REPORTS", "HEALTH")]
    before = operator_process.log.stat().st_size

    with ExitStack() as crowd:
        for port in ports * 400:
            crowd.enter_context(socket.create_connection(("127.0.0.1", port)))
        taken = reporting.post(reporting.token(reporting.pod_of("report-a")), "report-a")
        probes = [operator_process.get(path)[0] for path in ("/healthz", "/readyz")]

    assert (taken, probes) == (200, [200, 200])
    assert operator_process.log.stat().st_size - before < 10_000
