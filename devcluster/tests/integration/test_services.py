"""Headless Services, and the pods of an Indexed Job that are found by one."""

import time
from typing import Any

import pytest
from tests.integration.objects import SETTLED, Objects, counts, job, true_conditions

from devcluster.testing.api import Api
from devcluster.testing.plugin import Kubectl

HEADLESS: dict[str, Any] = {
    "clusterIP": "None",
    "publishNotReadyAddresses": True,
    "selector": {"batch.kubernetes.io/job-name": "team"},
}


@pytest.fixture
def objects(kubectl: Kubectl, namespace: str) -> Objects:
    return Objects(kubectl, namespace)


def service(name: str = "ft-team", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def test_a_headless_service_has_no_address_and_needs_no_port(api: Api, namespace: str) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"

    bare = api("POST", services, service("bare", **HEADLESS)).body
    full = api("POST", services, service("full", **HEADLESS, ports=[{"name": "rendezvous", "port": 29500}])).body

    assert bare["spec"] == {
        **HEADLESS,
        "clusterIPs": ["None"],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    assert full["spec"]["ports"] == [{"name": "rendezvous", "port": 29500, "protocol": "TCP", "targetPort": 29500}]


@pytest.mark.parametrize(
    ("name", "spec", "field"),
    [
        ("has.dot", HEADLESS, "metadata.name"),
        ("x" * 64, HEADLESS, "metadata.name"),
        ("no-port", {"selector": {"a": "b"}}, "spec.ports"),
        ("no-number", {**HEADLESS, "ports": [{"port": 99999}]}, "spec.ports[0].port"),
        ("no-names", {**HEADLESS, "ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name"),
        ("same", {**HEADLESS, "ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]}, "spec.ports[1].name"),
    ],
)
def test_a_wrong_service_is_refused(api: Api, namespace: str, name: str, spec: dict[str, Any], field: str) -> None:
    answer = api("POST", f"/api/v1/namespaces/{namespace}/services", service(name, **spec))

    assert answer.code == 422
    assert field in answer.fields


def test_a_service_keeps_having_no_address(api: Api, namespace: str) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"
    made = api("POST", services, service(**HEADLESS, ports=[{"port": 29500}])).body

    changed = {**made, "spec": {**made["spec"], "clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}}
    answer = api("PUT", f"{services}/ft-team", changed)

    assert answer.code == 422
    assert answer.fields == {"spec.clusterIPs[0]"}


@pytest.mark.parametrize(
    ("name", "spec", "field"),
    [
        ("has.dot", {"completionMode": "Indexed", "completions": 2}, "metadata.name"),
        ("x" * 62, {"completionMode": "Indexed", "completions": 2}, "metadata.name"),
        ("plain", {"completions": 2, "backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex"),
        ("plain", {"completions": 2, "successPolicy": {"rules": [{"succeededIndexes": "0"}]}}, "spec.successPolicy"),
    ],
)
def test_a_wrong_indexed_job_is_refused(api: Api, namespace: str, name: str, spec: dict[str, Any], field: str) -> None:
    answer = api("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", job(name, "exit 0", **spec))

    assert answer.code == 422
    assert field in answer.fields


MEET = """
if test "$RANK" = 0; then
    python -c 'import socket, sys; server = socket.create_server((sys.argv[1], int(sys.argv[2]))); server.accept()' \
        "${FIRST%:*}" "${FIRST#*:}"
else
    until python -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])))' \
        "${FIRST%:*}" "${FIRST#*:}"; do sleep 0.1; done
    exec sleep 60
fi
"""


def test_the_pods_of_an_indexed_job_meet_at_the_first_and_end_with_its_success(
    objects: Objects, namespace: str
) -> None:
    policy = {"rules": [{"succeededIndexes": "0"}]}
    team = job("team", MEET, completionMode="Indexed", completions=2, parallelism=2, successPolicy=policy)
    index = {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
    pod = team["spec"]["template"]["spec"]
    pod["subdomain"] = "ft-team"
    pod["containers"][0]["env"] = [
        {"name": "FIRST", "value": f"team-0.ft-team.{namespace}.svc:{20000 + time.time_ns() % 10000}"},
        {"name": "RANK", "valueFrom": index},
    ]
    objects.apply(service(**HEADLESS))
    objects.apply(team)

    done = objects.finished("team")

    assert true_conditions(done) == {"SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}
    assert counts(done) == {**SETTLED, "succeeded": 1, "completedIndexes": "0"}
    # What the others were doing did not matter any more: the first one's end is all that is left.
    assert [pod["spec"]["hostname"] for pod in objects.pods("team")] == ["team-0"]


def test_an_ignored_exit_code_of_one_index_is_tried_again_and_not_counted(objects: Objects) -> None:
    rule = {"action": "Ignore", "onExitCodes": {"containerName": "main", "operator": "In", "values": [17]}}
    script = 'test "$JOB_COMPLETION_INDEX" = 0 || exit 17; sleep 60'
    objects.apply(
        job(
            "lost",
            script,
            completionMode="Indexed",
            completions=2,
            parallelism=2,
            backoffLimitPerIndex=100,
            podReplacementPolicy="Failed",
            podFailurePolicy={"rules": [rule]},
        )
    )

    def second_attempt(_: dict[str, Any]) -> bool:
        return sum(pod["spec"]["hostname"] == "lost-1" for pod in objects.pods("lost")) > 1

    tried = objects.until("job/lost", second_attempt)
    pods = [pod["spec"]["hostname"] for pod in objects.pods("lost")]

    assert true_conditions(tried) == {}
    assert "failed" not in tried["status"]
    assert pods.count("lost-0") == 1
