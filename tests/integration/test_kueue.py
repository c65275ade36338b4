"""A job in a queue of Kueue, with what Kueue does played by the test: it holds the Job back, makes a Workload and says why it waits."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.fixtures import Space, finetunejob
from tests.integration.space import Space as AnySpace
from tests.unit.finetune_operator.job.test_workload import NO_ROOM, PENDING, workload

from devcluster.testing.api import MERGE, Api, wait_for

NAME = "queued"
QUEUE = {"kueue.x-k8s.io/queue-name": "team-a"}
_CONDITION = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {"type": "string", "maxLength": 316},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
        "message": {"type": "string", "maxLength": 32768},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
    },
}
WORKLOADS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "workloads.kueue.x-k8s.io",
        "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/kueue/pull/0"},
    },
    "spec": {
        "group": "kueue.x-k8s.io",
        "names": {"kind": "Workload", "plural": "workloads", "singular": "workload", "listKind": "WorkloadList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1beta2",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "active": {"type": "boolean", "default": True},
                                    "queueName": {"type": "string", "maxLength": 253},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {"conditions": {"type": "array", "items": _CONDITION, "maxItems": 16}},
                            },
                        },
                    }
                },
            }
        ],
    },
}
"""The part of Kueue's Workload that is read, as its definition has it."""


@pytest.fixture(scope="module")
def kueue(space: Space) -> Iterator[None]:
    anywhere = AnySpace(space.cluster, "")
    anywhere.apply(WORKLOADS)
    established = ("wait", "--for=condition=Established", "crd/workloads.kueue.x-k8s.io", "--timeout=30s")
    wait_for(lambda: anywhere.kubectl(*established, check=False), lambda said: "condition met" in said, "the CRD")
    yield
    anywhere.kubectl("delete", "crd", "workloads.kueue.x-k8s.io", "--wait=false")


def test_a_job_in_a_queue_says_what_its_workload_says(kueue: None, space: Space, api: Api) -> None:
    # No pod of it ever runs: nothing here needs one.
    space.apply(finetunejob(NAME, pod={"labels": QUEUE, "schedulerName": "nobody"}))
    job = wait_for(lambda: space.get("job", NAME), bool, "the Job")
    uid = job["metadata"]["uid"]
    raw = workload(PENDING)
    raw["metadata"]["labels"] = {"kueue.x-k8s.io/job-uid": uid}
    raw["metadata"]["ownerReferences"][0] |= {"name": NAME, "uid": uid}
    raw["status"]["conditions"][0]["lastTransitionTime"] = "2026-11-28T12:00:00Z"
    path = f"/apis/kueue.x-k8s.io/v1beta2/namespaces/{space.namespace}/workloads"
    assert api("POST", path, {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload", **raw}).code == 201
    said = api("PATCH", f"{path}/{raw['metadata']['name']}/status", {"status": raw["status"]}, MERGE)
    assert said.code == 200, said.body
    space.kubectl("patch", "job", NAME, "--type=merge", "-p", '{"spec": {"suspend": true}}')

    status = space.until(NAME, lambda status: status.get("phase") == "Queued", "its wait for quota")

    assert status["message"] == f"waiting for quota in the queue team-a: {NO_ROOM}"
    assert {**status["waiting"], "since": None} == {"reason": "WaitingForQuota", "since": None}
    space.kubectl("delete", "ftj", NAME, "--wait=false")


def test_a_job_of_another_controller_is_left_alone(space: Space) -> None:
    space.apply(
        finetunejob("elsewhere", managedBy="kueue.x-k8s.io/multikueue"),
        finetunejob("here", pod={"schedulerName": "nobody"}),
    )
    space.until("here", lambda status: status.get("phase") == "Pending" and "waiting" in status["message"], "its wait")
    space.kubectl(
        "patch",
        "ftj",
        "elsewhere",
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status": {"phase": "Running", "message": "on the cluster east", "run": {"number": 3}}}',
    )
    space.patch("here", {"runPolicy": {"backoffLimit": 1}})
    generation = space.get("ftj", "here")["metadata"]["generation"]
    space.until("here", lambda status: status["observedGeneration"] == generation, "its change")

    assert space.status("elsewhere") == {"phase": "Running", "message": "on the cluster east", "run": {"number": 3}}
    assert space.list("jobs", "finetune.dev/job-name=elsewhere") == []
    space.kubectl("delete", "ftj", "elsewhere", "here", "--wait=false")
