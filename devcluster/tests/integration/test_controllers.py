"""Jobs, owners, namespaces and volumes: the same on the dev cluster as on a real controller manager."""

import asyncio
import json
import time
from typing import Any

import pytest
from tests.integration.objects import SETTLED, Objects, counts, job, true_conditions

from devcluster.client import PODS, connect
from devcluster.cluster import Cluster
from devcluster.testing.api import PATIENCE, eventually
from devcluster.testing.plugin import Kubectl


@pytest.fixture
def objects(kubectl: Kubectl, namespace: str) -> Objects:
    return Objects(kubectl, namespace)


def owned_by(owner: dict[str, Any], name: str, *, blocks: bool = False) -> dict[str, Any]:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocks,
    }
    metadata = {"name": name, "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def evict(cluster: Cluster, pod: dict[str, Any]) -> None:
    metadata = {key: pod["metadata"][key] for key in ("name", "namespace")}
    async with connect(cluster.kubeconfig) as client:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        await client.create(PODS.path_of(pod, "eviction"), eviction)


def test_a_job_that_succeeds_is_complete(objects: Objects) -> None:
    objects.apply(job("good", "exit 0", completions=3, parallelism=2))

    done = objects.finished("good")

    assert counts(done) == {**SETTLED, "succeeded": 3}
    assert true_conditions(done) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert done["status"]["completionTime"] >= done["status"]["startTime"]
    assert [pod["metadata"].get("finalizers") for pod in objects.pods("good")] == [None, None, None]
    # An Event may come after the status that it is about.
    eventually(lambda: set(objects.reasons("good")) == {"SuccessfulCreate", "Completed"}, "both Events")


def test_a_job_that_fails_is_tried_again_and_then_given_up(objects: Objects) -> None:
    objects.apply(job("bad", "exit 1", backoffLimit=1))

    done = objects.finished("bad")

    assert counts(done) == {**SETTLED, "failed": 2}
    assert true_conditions(done) == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
    assert len(objects.pods("bad")) == 2


def test_an_exit_code_of_the_policy_is_not_tried_again(objects: Objects) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [64]}}
    objects.apply(job("wrong", "exit 64", backoffLimit=3, podFailurePolicy={"rules": [rule]}))

    done = objects.finished("wrong")

    [pod] = objects.pods("wrong")
    where = f"{objects.namespace}/{pod['metadata']['name']}"
    assert counts(done) == {**SETTLED, "failed": 1}
    assert true_conditions(done) == {"FailureTarget": "PodFailurePolicy", "Failed": "PodFailurePolicy"}
    assert done["status"]["conditions"][-1]["message"] == (
        f"Container main for pod {where} failed with exit code 64 matching FailJob rule at index 0"
    )


def test_a_pod_that_is_deleted_is_replaced(objects: Objects) -> None:
    objects.apply(job("moved", "sleep 600", backoffLimit=1, podReplacementPolicy="Failed"))
    objects.running("moved")
    [first] = objects.pods("moved")

    objects.run("delete", "pod", first["metadata"]["name"], "-n", objects.namespace)

    replaced = objects.until("job/moved", lambda found: found["status"].get("ready") and found["status"].get("failed"))
    assert counts(replaced) == {**SETTLED, "active": 1, "ready": 1, "failed": 1}
    assert [pod["metadata"]["name"] != first["metadata"]["name"] for pod in objects.pods("moved")] == [True]


def test_an_evicted_pod_is_replaced_and_not_counted(objects: Objects, cluster: Cluster) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    objects.apply(job("drained", "sleep 600", podFailurePolicy={"rules": [rule]}))
    objects.running("drained")
    [first] = objects.pods("drained")

    asyncio.run(evict(cluster, first))

    objects.gone(f"pod/{first['metadata']['name']}")
    replaced = objects.running("drained")
    assert counts(replaced) == {**SETTLED, "active": 1, "ready": 1}
    assert len(objects.pods("drained")) == 1


def test_an_indexed_job_tells_each_pod_its_index(objects: Objects) -> None:
    script = 'test "$HOSTNAME" = "many-$JOB_COMPLETION_INDEX"'
    objects.apply(job("many", script, completionMode="Indexed", completions=3, parallelism=3))

    done = objects.finished("many")

    assert counts(done) == {**SETTLED, "succeeded": 3, "completedIndexes": "0-2"}


def test_a_suspended_job_has_no_pods_until_it_is_resumed(objects: Objects) -> None:
    objects.apply(job("paused", "sleep 600"))
    objects.running("paused")

    objects.patch("job/paused", {"spec": {"suspend": True}})
    suspended = objects.until("job/paused", lambda found: counts(found) == SETTLED)
    assert true_conditions(suspended) == {"Suspended": "JobSuspended"}
    objects.until("job/paused", lambda _: not objects.pods("paused"))

    objects.patch("job/paused", {"spec": {"suspend": False}})
    resumed = objects.running("paused")
    assert true_conditions(resumed) == {}
    assert counts(resumed) == {**SETTLED, "active": 1, "ready": 1}


def test_a_job_past_its_deadline_fails(objects: Objects) -> None:
    objects.apply(job("late", "sleep 600", activeDeadlineSeconds=1))

    done = objects.finished("late")

    assert true_conditions(done) == {"FailureTarget": "DeadlineExceeded", "Failed": "DeadlineExceeded"}
    assert counts(done) == {**SETTLED, "failed": 1}


def test_a_finished_job_goes_with_its_pods_when_its_time_is_over(objects: Objects) -> None:
    objects.apply(job("brief", "exit 0", ttlSecondsAfterFinished=0))

    objects.gone("job/brief")

    assert objects.pods("brief") == []


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_the_pods_of_a_deleted_job_go(objects: Objects, cascade: str) -> None:
    objects.apply(job("ended", "sleep 600"))
    objects.running("ended")

    objects.run("delete", "job", "ended", "-n", objects.namespace, f"--cascade={cascade}")

    eventually(lambda: not objects.pods("ended"), "the pods to go")


def test_the_pods_of_a_job_may_be_left_behind(objects: Objects) -> None:
    objects.apply(job("parent", "sleep 600"))
    objects.running("parent")

    objects.run("delete", "job", "parent", "-n", objects.namespace, "--cascade=orphan")

    [pod] = objects.pods("parent")
    assert objects.until(f"pod/{pod['metadata']['name']}", lambda found: not found["metadata"].get("ownerReferences"))
    assert pod["status"]["phase"] == "Running"


def test_an_object_goes_with_its_last_owner(objects: Objects) -> None:
    for name in ("a", "b"):
        objects.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
    first, second = objects.get("configmap/a"), objects.get("configmap/b")
    child = owned_by(first, "child")
    child["metadata"]["ownerReferences"] += owned_by(second, "child")["metadata"]["ownerReferences"]
    objects.apply(child)
    objects.apply(owned_by(objects.get("configmap/child"), "grandchild"))

    objects.run("delete", "configmap", "a", "-n", objects.namespace)
    left = objects.until("configmap/child", lambda found: len(found["metadata"]["ownerReferences"]) == 1)
    assert left["metadata"]["ownerReferences"][0]["name"] == "b"

    objects.run("delete", "configmap", "b", "-n", objects.namespace)
    objects.gone("configmap/child")
    objects.gone("configmap/grandchild")


def test_an_owner_of_the_same_name_but_another_uid_is_none(objects: Objects) -> None:
    objects.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    impostor = objects.get("configmap/owner")
    impostor["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"

    objects.apply(owned_by(impostor, "child"))

    objects.gone("configmap/child")
    assert objects.exists("configmap/owner")


def test_a_foreground_deletion_waits_for_the_dependents_that_block_it(objects: Objects) -> None:
    objects.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    child = owned_by(objects.get("configmap/owner"), "child", blocks=True)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    objects.apply(child)

    objects.run("delete", "configmap", "owner", "-n", objects.namespace, "--cascade=foreground", "--wait=false")
    objects.until("configmap/child", lambda found: found["metadata"].get("deletionTimestamp"))
    waiting = objects.get("configmap/owner")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]

    objects.patch("configmap/child", {"metadata": {"finalizers": None}})
    objects.gone("configmap/child")
    objects.gone("configmap/owner")


def test_a_custom_resource_owns_like_any_other(objects: Objects, kubectl: Kubectl) -> None:
    group = f"x{time.time_ns()}.example.com"
    schema = {"type": "object", "properties": {"spec": {"type": "object"}}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    objects.apply(definition)
    kubectl("wait", "--for=condition=Established", f"crd/widgets.{group}", f"--timeout={PATIENCE:g}s")
    objects.apply({"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "owner"}, "spec": {}})
    owned = job("owned", "sleep 600")
    owned["metadata"] |= owned_by(objects.get(f"widgets.{group}/owner"), "owned")["metadata"]
    objects.apply(owned)
    objects.running("owned")

    objects.run("delete", f"widgets.{group}", "owner", "-n", objects.namespace)

    objects.gone("job/owned")
    kubectl("delete", "crd", f"widgets.{group}")


def test_a_deleted_namespace_takes_everything_with_it(kubectl: Kubectl) -> None:
    name = f"short-lived-{time.time_ns()}"
    objects = Objects(kubectl, name)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    objects.until("namespace/" + name, lambda _: objects.exists("serviceaccount/default"))
    objects.apply(job("work", "sleep 600"))
    objects.running("work")

    kubectl("delete", "namespace", name, f"--timeout={PATIENCE:g}s")

    assert kubectl("get", "namespace", name, check=False).returncode == 1
    assert kubectl("get", "pods,jobs", "-n", name, "-o", "name").stdout == ""


def test_a_retained_volume_stays_when_its_claim_goes(objects: Objects) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "kept"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    objects.apply(claim)
    volume = "pv/" + objects.until("pvc/kept", lambda found: found["status"]["phase"] == "Bound")["spec"]["volumeName"]
    objects.patch(volume, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})

    objects.run("delete", "pvc", "kept", "-n", objects.namespace)

    released = objects.until(volume, lambda found: found["status"]["phase"] == "Released")
    assert released["spec"]["claimRef"]["name"] == "kept"
    objects.run("delete", volume)
