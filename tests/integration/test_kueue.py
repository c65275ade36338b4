"""A job in a queue of Kueue, with what Kueue does played by the test: it holds the Job back, makes a Workload, says why it waits and starts it."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.fixtures import Space, finetunejob
from tests.integration.release import Release
from tests.integration.space import Space as AnySpace
from tests.unit.finetune_operator.job.test_workload import NO_ROOM, PENDING, RESERVED, workload

from devcluster.testing.api import MERGE, PATIENCE, Api, wait_for

NAME = "queued"
ADMITTED = ("Admitted", "True", "Admitted", "The workload is admitted")
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
"""The part of Kueue's Workload that is read or changed, as its definition has it."""


@pytest.fixture(scope="module")
def kueue(space: Space) -> Iterator[None]:
    anywhere = AnySpace(space.cluster, "")
    anywhere.apply(WORKLOADS)
    established = ("wait", "--for=condition=Established", "crd/workloads.kueue.x-k8s.io", f"--timeout={PATIENCE:g}s")
    wait_for(lambda: anywhere.kubectl(*established, check=False), lambda said: "condition met" in said, "the CRD")
    yield
    anywhere.kubectl("delete", "crd", "workloads.kueue.x-k8s.io", "--wait=false")


def make_workload(space: Space, api: Api, name: str, *conditions: tuple[str, str, str, str]) -> str:
    """Make the Workload of the Job `name`, once that is there, as Kueue does. Return its path."""
    job = wait_for(lambda: space.get("job", name), bool, "the Job")
    uid = job["metadata"]["uid"]
    raw = workload(*conditions, name=f"job-{name}-19797")
    raw["metadata"]["labels"] = {"kueue.x-k8s.io/job-uid": uid}
    raw["metadata"]["ownerReferences"][0] |= {"name": name, "uid": uid}
    for condition in raw["status"]["conditions"]:
        condition["lastTransitionTime"] = "2026-11-28T12:00:00Z"
    path = f"/apis/kueue.x-k8s.io/v1beta2/namespaces/{space.namespace}/workloads"
    assert api("POST", path, {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload", **raw}).code == 201
    path = f"{path}/{raw['metadata']['name']}"
    said = api("PATCH", f"{path}/status", {"status": raw["status"]}, MERGE)
    assert said.code == 200, said.body
    return path


def held(api: Api, path: str) -> tuple[bool, bool]:
    """Whether a Workload is active, and whether the operator says that it deactivated it."""
    raw = api("GET", path).body
    return raw["spec"]["active"], "finetune.dev/deactivated" in raw["metadata"].get("annotations", {})


def test_a_job_in_a_queue_says_what_its_workload_says(kueue: None, space: Space, api: Api) -> None:
    # No pod of it ever runs: nothing here needs one.
    space.apply(finetunejob(NAME, pod={"labels": QUEUE, "schedulerName": "nobody"}))
    make_workload(space, api, NAME, PENDING)
    space.kubectl("patch", "job", NAME, "--type=merge", "-p", '{"spec": {"suspend": true}}')

    status = space.until(NAME, lambda status: status.get("phase") == "Queued", "its wait for quota")

    assert status["message"] == f"waiting for quota in the queue team-a: {NO_ROOM}"
    assert {**status["waiting"], "since": None} == {"reason": "WaitingForQuota", "since": None}
    space.kubectl("delete", "ftj", NAME, "--wait=false")


def test_a_job_that_kueue_has_admitted_stays_suspended_until_its_user_lets_it_go_on(
    kueue: None, space: Space, api: Api
) -> None:
    name = "admitted"
    topology = {"kueue.x-k8s.io/podset-required-topology": "kubernetes.io/hostname"}
    space.apply(finetunejob(name, pod={"labels": QUEUE, "annotations": topology, "schedulerName": "nobody"}))
    path = make_workload(space, api, name, RESERVED, ADMITTED)
    job = space.get("job", name)
    assert job["metadata"]["annotations"].items() >= topology.items()
    assert job["spec"]["template"]["metadata"]["annotations"].items() >= topology.items()

    space.patch(name, {"suspend": True})
    space.until(name, lambda status: status.get("phase") == "Suspended", "its suspension")
    assert held(api, path) == (False, True)

    space.patch(name, {"suspend": False})
    space.until(name, lambda status: status.get("phase") == "Queued", "its place in the queue")
    assert held(api, path) == (True, False)
    assert space.get("job", name)["spec"]["suspend"], "Kueue alone starts it"

    assert api("PATCH", path, {"spec": {"active": False}}, MERGE).code == 200
    space.patch(name, {"suspend": True})
    space.until(name, lambda status: status.get("phase") == "Suspended", "its suspension")
    space.patch(name, {"suspend": False})
    status = space.until(name, lambda status: status.get("phase") == "Queued", "its place in the queue")
    assert held(api, path) == (False, False), "somebody else deactivated it"
    assert status["waiting"]["reason"] == "WorkloadDeactivated"
    space.kubectl("delete", "ftj", name, "--wait=false")


def test_of_workloads_the_operator_s_token_changes_only_whether_they_are_active(
    kueue: None, space: Space, api: Api, release: Release
) -> None:
    name = "guarded"
    space.apply(finetunejob(name, pod={"labels": QUEUE, "schedulerName": "nobody"}))
    path, thief = make_workload(space, api, name, PENDING), Api(release.kubeconfig)

    answers = [
        thief("PATCH", path, change, MERGE)
        for change in (
            {"spec": {"queueName": "another"}},
            {"metadata": {"annotations": {"a": "b"}}},
            {"metadata": {"labels": {"a": "b"}}},
            {"metadata": {"ownerReferences": None}},
            {"spec": {"active": False}, "metadata": {"annotations": {"finetune.dev/deactivated": "spec.suspend"}}},
            {"spec": {"active": True}, "metadata": {"annotations": {"finetune.dev/deactivated": None}}},
        )
    ]

    assert [answer.code for answer in answers] == [403] * 4 + [200] * 2, [answer.message for answer in answers]
    assert all("writes only what a FineTuneJob" in answer.message for answer in answers[:4])
    space.kubectl("delete", "ftj", name, "--wait=false")


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
