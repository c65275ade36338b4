"""A month's budget holds jobs back, and more in the profile lets them go. A node without a kubelet is played by the test."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, finetunejob, reason_of
from tests.integration.played_node import PlayedNode, played_node
from tests.integration.space import Space

from devcluster.cluster import Cluster
from devcluster.testing.api import wait_for

PROFILE = "budgeted"
GPUS = 64
SECONDS = 5
"""Each pod is there for as long before it ends: it is believed to have run no longer than that."""
LIMIT = 288


@pytest.fixture
def node(operator_process: OperatorProcess, finetune_crd: Cluster) -> Iterator[PlayedNode]:
    """A namespace of its own, since a budget is for all of one, and a node for its pods."""
    space = Space(finetune_crd, f"budget-{uuid.uuid4().hex[:8]}")
    space.create()
    # The model and data that nobody reads.
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    space.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "seed"}, "spec": claim})
    with played_node(space) as made:
        yield made
    space.kubectl("delete", "ftp", PROFILE, "--ignore-not-found")
    space.kubectl("delete", "namespace", space.namespace, "--wait=false")


def give(space: Space, seconds: int) -> None:
    """The profile, with as much for a namespace and month."""
    spec = {"limits": {"gpuSecondsPerNamespace": seconds}, "allow": {"nodeSelectorKeys": ["*"]}}
    metadata = {"name": PROFILE}
    space.apply({"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneProfile", "metadata": metadata, "spec": spec})


def on_gpus(node: PlayedNode, name: str, **spec: Any) -> dict[str, Any]:
    return finetunejob(name, resources={"gpus": GPUS}, pod={"nodeSelector": node.selector}, **spec)


def age(space: Space, pod: str) -> datetime:
    """Wait until the pod has been there for so long. Return when it came."""
    created = datetime.fromisoformat(space.get("pod", pod)["metadata"]["creationTimestamp"])
    while datetime.now(UTC) < created + timedelta(seconds=SECONDS + 1):
        time.sleep(0.2)
    return created


def spend(node: PlayedNode, name: str) -> None:
    """Have the job's pod run for so long, and end well."""
    pod = node.pod_of(name)
    since = age(node.space, pod)
    node.run(pod, since)
    node.end(pod, 0, since, since + timedelta(seconds=SECONDS))


def begun_or_held(space: Space, name: str) -> dict[str, Any]:
    return space.until(name, lambda status: status.get("phase") is not None, "its first status")


@pytest.mark.slow
def test_what_is_used_up_holds_new_jobs_back_and_none_without_a_gpu(node: PlayedNode) -> None:
    space = node.space
    give(space, LIMIT)
    space.apply(on_gpus(node, "spends", profile=PROFILE))
    spend(node, "spends")
    spent = space.end_of("spends")

    space.apply(on_gpus(node, "held", profile=PROFILE))
    held = space.until("held", lambda status: status.get("phase") == "Queued", "to be held back")
    jobs_meanwhile = [job["metadata"]["name"] for job in space.list("jobs")]
    space.apply(finetunejob("on-cpus", profile=PROFILE, pod={"nodeSelector": node.selector}))
    free = begun_or_held(space, "on-cpus")

    assert spent["usage"]["gpuSeconds"]["total"] == spent["usage"]["month"]["gpuSeconds"] == GPUS * SECONDS
    assert (reason_of(held), held["waiting"]["reason"]) == ("BudgetUsedUp", "BudgetUsedUp")
    assert held["message"].startswith(
        f"namespace {space.namespace} has used 0.09 of the 0.08 GPU-hours that FineTuneProfile {PROFILE} gives it for "
    )
    assert jobs_meanwhile == ["spends"]
    assert reason_of(free) != "BudgetUsedUp"


@pytest.mark.slow
def test_what_a_deleted_job_used_counts_and_more_in_the_profile_lets_jobs_go_at_once(node: PlayedNode) -> None:
    space = node.space
    give(space, LIMIT)
    space.apply(on_gpus(node, "spends", profile=PROFILE))
    spend(node, "spends")
    space.end_of("spends")
    space.kubectl("delete", "ftj", "spends")

    space.apply(on_gpus(node, "held", profile=PROFILE))
    held = begun_or_held(space, "held")
    give(space, 2 * LIMIT)
    begun = space.until("held", lambda status: status["phase"] != "Queued", "its turn")

    assert reason_of(held) == "BudgetUsedUp"
    assert begun["phase"] == "Pending"
    wait_for(lambda: space.get("job", "held"), bool, "its Job")


@pytest.mark.slow
def test_usage_is_that_of_all_pods_over_attempts_of_which_the_operator_missed_one(
    node: PlayedNode, operator_process: OperatorProcess
) -> None:
    space, name = node.space, "counted"
    space.apply(on_gpus(node, name))
    pods: list[str] = []
    ran: list[int] = []

    def begin(sooner: int = 0) -> datetime:
        """An attempt runs, by a clock that is so many seconds behind."""
        pods.append(node.pod_of(name, pods))
        since = age(space, pods[-1]) - timedelta(seconds=sooner)
        node.run(pods[-1], since)
        return since

    def end(since: datetime, code: int, fewer: int = 0) -> None:
        ran.append(SECONDS - fewer)
        node.end(pods[-1], code, since, since + timedelta(seconds=ran[-1]))

    since = begin()
    space.until(name, lambda status: len(status.get("attempts", [])) == 1, "its first attempt")
    operator_process.end()
    end(since, 143)
    end(begin(3600), 1, fewer=1)
    operator_process.start()
    end(begin(), 0, fewer=2)
    status = space.end_of(name)

    assert status["phase"] == "Succeeded"
    # In the order of their played beginnings, some of which lie before that of the attempt before.
    assert sorted(each["podSeconds"] for each in status["attempts"]) == sorted(ran)
    assert status["usage"]["podSeconds"] == pytest.approx(sum(ran), rel=0.01)
    assert status["usage"]["gpuSeconds"]["total"] == GPUS * status["usage"]["podSeconds"]
