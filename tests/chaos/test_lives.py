"""What others do to a job's objects and their kinds while it lives: deletions of every kind, finalizers, successors of the same name."""

from typing import Any

import pytest
from tests.chaos.fixtures import Scene, chaos_job
from tests.chaos.history import CHILDREN
from tests.integration.fixtures import ROOT, reason_of
from tests.integration.release import Release

from devcluster.testing.api import MERGE, wait_for

JOB_API = "/apis/finetune.dev/v1alpha1/namespaces/{namespace}/finetunejobs"
PODS = "/api/v1/namespaces/{namespace}/pods"
FINALIZER = "example.com/keeps"


def path(stage: Scene, kind: str, name: str) -> str:
    return (
        f"{({'pods': PODS, 'finetunejobs': JOB_API} | CHILDREN)[kind].format(namespace=stage.space.namespace)}/{name}"
    )


def keep(stage: Scene, kind: str, name: str, *finalizers: str) -> None:
    """Set what others have to do before an object may go."""
    there = stage.history.api("GET", path(stage, kind, name)).body["metadata"].get("finalizers", [])
    wanted = [each for each in there if each != FINALIZER] + [*finalizers]
    answer = stage.history.api("PATCH", path(stage, kind, name), {"metadata": {"finalizers": wanted}}, MERGE)
    assert answer.code == 200, answer.body


def running(stage: Scene, *names: str) -> list[str]:
    """Make jobs that take their time, and wait until they train. Return their uids."""
    stage.kubelet.seconds_a_step = 0.2
    stage.space.apply(*map(chaos_job, names))
    for name in names:
        stage.until(name, lambda status: status.get("progress", {}).get("step", 0) > 0, "to train")
    return [stage.space.get("ftj", name)["metadata"]["uid"] for name in names]


def pods_of(stage: Scene, uid: str) -> list[dict[str, Any]]:
    return stage.space.list("pods", f"finetune.dev/job-uid={uid}")


@pytest.mark.slow
def test_a_job_whose_children_were_orphaned_goes_on_once_and_the_orphan_stops(stage: Scene) -> None:
    (uid,) = running(stage, "orphaned")
    (orphan,) = pods_of(stage, uid)
    stage.history.api("DELETE", path(stage, "jobs", "orphaned"), {"propagationPolicy": "Orphan"})
    wait_for(lambda: len(pods_of(stage, uid)), lambda count: count == 2, "a pod of the next Job")

    wait_for(lambda: stage.kubelet.disowned, bool, "the orphan to be told that it is none of ours")
    stage.kubelet.seconds_a_step = 0.02
    phases = stage.end_of("orphaned")

    assert phases == ["Succeeded"]
    assert stage.kubelet.disowned == [orphan["metadata"]["name"]]
    assert stage.history.violations(replaced=True) == []


@pytest.mark.slow
def test_a_job_that_is_deleted_in_the_foreground_goes_after_its_pods_and_nothing_of_it_is_made_again(
    stage: Scene,
) -> None:
    (uid,) = running(stage, "leaving")
    (pod,) = pods_of(stage, uid)
    keep(stage, "pods", pod["metadata"]["name"], FINALIZER)
    stage.history.api("DELETE", path(stage, "finetunejobs", "leaving"), {"propagationPolicy": "Foreground"})
    wait_for(lambda: pods_of(stage, uid)[0]["metadata"], lambda found: "deletionTimestamp" in found, "its pod to end")
    stage.operator.end()
    stage.operator.start()
    there = stage.space.get("ftj", "leaving")["metadata"]
    keep(stage, "pods", pod["metadata"]["name"])
    wait_for(lambda: stage.space.get("ftj", "leaving"), lambda found: not found, "it to go after its pod")

    assert "deletionTimestamp" in there
    assert stage.history.violations() == []
    assert len(stage.kubelet.uids[uid]) == 1


@pytest.mark.slow
def test_a_job_whose_batch_job_somebody_keeps_from_going_says_so_and_goes_on_afterwards(stage: Scene) -> None:
    running(stage, "kept")
    keep(stage, "jobs", "kept", FINALIZER)
    stage.history.api("DELETE", path(stage, "jobs", "kept"), {"propagationPolicy": "Background"})
    said = stage.until("kept", lambda status: reason_of(status) == "JobDeleted", "to say what it waits for")
    keep(stage, "jobs", "kept")
    stage.kubelet.seconds_a_step = 0.02
    phases = stage.end_of("kept")

    assert (said["phase"], phases) == ("Pending", ["Succeeded"])
    assert FINALIZER in said["message"]
    assert stage.history.violations(replaced=True) == []


@pytest.mark.slow
def test_of_jobs_of_one_name_that_follow_each_other_within_a_second_each_is_itself(stage: Scene) -> None:
    uids = []
    for _ in range(6):
        stage.space.apply(chaos_job("again"))
        uids.append(stage.space.get("ftj", "again")["metadata"]["uid"])
        stage.history.api("DELETE", path(stage, "finetunejobs", "again"))
    stage.space.apply(chaos_job("again"))
    last = stage.space.get("ftj", "again")["metadata"]["uid"]

    phases = stage.end_of("again")

    assert (phases, len({*uids, last})) == (["Succeeded"], 7)
    assert stage.history.violations() == []
    wait_for(
        lambda: {
            raw["metadata"]["labels"]["finetune.dev/job-uid"] for raw in stage.space.list("job", "finetune.dev/job-uid")
        },
        lambda left: left == {last},
        "what belongs to the others to go",
    )


@pytest.mark.slow
def test_a_namespace_that_goes_away_ends_with_its_jobs_and_holds_up_no_other_job(
    stage: Scene, release: Release
) -> None:
    (uid,) = running(stage, "swept")
    (pod,) = pods_of(stage, uid)
    keep(stage, "pods", pod["metadata"]["name"], FINALIZER)
    stage.space.kubectl("delete", "namespace", stage.space.namespace, "--wait=false")
    # Kubernetes 1.34 and later delete the pods of a namespace first, and all else only once they have gone.
    wait_for(lambda: pods_of(stage, uid)[0]["metadata"], lambda found: "deletionTimestamp" in found, "its pod to end")
    healthy = stage.operator.get("/healthz")[0]
    keep(stage, "pods", pod["metadata"]["name"])
    wait_for(
        lambda: stage.space.kubectl("get", "namespace", stage.space.namespace, "--ignore-not-found"),
        lambda found: not found,
        "the namespace to go",
    )

    assert (healthy, stage.operator.get("/healthz")[0]) == (200, 200)
    assert stage.history.violations() == []


@pytest.mark.chaos
def test_a_definition_that_is_deleted_and_applied_again_takes_the_jobs_and_serves_new_ones(
    stage: Scene, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--kube-context"):
        pytest.skip("the jobs of a far cluster are nobody's to delete")
    (uid,) = running(stage, "before")
    stage.space.kubectl("delete", "crd", "finetunejobs.finetune.dev", "--wait=true")
    # Its children stay for now: without the kind Kubernetes cannot tell whether their owner is there.
    alive = stage.operator.get("/healthz")[0]
    stage.space.kubectl("apply", "--server-side", "-f", str(ROOT / "crds/finetunejobs.yaml"))
    wait_for(
        lambda: stage.history.api("GET", JOB_API.format(namespace=stage.space.namespace)).code,
        lambda code: code == 200,
        "the kind to be served again",
    )
    stage.kubelet.seconds_a_step = 0.02
    stage.space.apply(chaos_job("after"))
    phases = stage.end_of("after")

    assert (alive, phases) == (200, ["Succeeded"])
    wait_for(lambda: stage.space.list("job", f"finetune.dev/job-uid={uid}"), lambda found: not found, "the Job to go")
