"""The operator under exactly the rights that the chart gives it.

The session's operator serves all namespaces with the rights of `release`; here is what else a release can be. The dev cluster
lets everybody do everything, so that only a real API server proves the rights.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.fixtures import OperatorProcess, finetunejob, seeded
from tests.integration.release import NAME, Release, installed, rendered
from tests.integration.space import Space

from devcluster.cluster import Cluster


@pytest.fixture(scope="module")
def alone(operator_process: OperatorProcess, home: Space) -> Iterator[OperatorProcess]:
    """The session's operator, which serves every namespace, stands still meanwhile: it would do the work of ours.

    Nor does its policy keep others from writing what a job keeps of its profile.
    """
    cluster = Space(home.cluster, "")
    kept = f"kept.{NAME}.{operator_process.environment['FINETUNE_OPERATOR_NAMESPACE']}.operator.finetune.dev"
    binding = cluster.get("validatingadmissionpolicybinding", kept)
    cluster.kubectl("delete", "validatingadmissionpolicybinding", kept)
    operator_process.end()
    yield operator_process
    operator_process.start()
    cluster.apply(
        {key: each for key, each in binding.items() if key in ("apiVersion", "kind", "spec")}
        | {"metadata": {"name": kept}}
    )


@pytest.fixture(scope="module")
def home(finetune_crd: Cluster) -> Iterator[Space]:
    """A namespace for the release, with a model and data for the job."""
    with seeded(finetune_crd) as made:
        yield made


def another(cluster: Cluster, name: str) -> Space:
    made = Space(cluster, name)
    made.create()
    return made


@pytest.mark.slow
def test_the_cluster_takes_every_object_of_the_chart(home: Space) -> None:
    objects = rendered({}, home.namespace)

    taken = home.kubectl("apply", "--dry-run=server", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))

    assert taken.count("created (server dry run)") == len(objects)


def test_the_operator_s_own_pod_stands_up_to_pod_security(home: Space, release: Release) -> None:
    deployment = next(each for each in rendered({}, release.home.namespace) if each["kind"] == "Deployment")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "own"},
        "spec": deployment["spec"]["template"]["spec"],
    }

    taken = release.home.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))

    assert "created (server dry run)" in taken


@pytest.mark.slow
def test_namespaces_that_are_named_are_served_even_where_one_takes_its_rights_away(
    alone: OperatorProcess, home: Space, tmp_path: Path
) -> None:
    spaces = [home, *(another(home.cluster, f"{home.namespace}-{name}") for name in ("b", "closed", "unwatched"))]
    other, closed, unwatched = spaces[1:]
    watched = [space.namespace for space in (home, other, closed)]
    suspended = finetunejob("rights-suspended", resources={"gpus": 0, "nodes": 2}, suspend=True)
    with installed(home, tmp_path, {"watchNamespaces": watched}) as release:
        binding = closed.get("rolebinding", NAME)
        closed.kubectl("delete", "rolebinding", NAME)
        operator = OperatorProcess(
            alone.environment | release.settings | {"KUBECONFIG": str(release.kubeconfig)}, tmp_path / "operator.log"
        )
        operator.start()
        try:
            for space in (other, closed, unwatched):
                space.apply(suspended)
            home.apply(finetunejob("rights", training={"epochs": 2, "batchSize": 8}))
            made = other.until("rights-suspended", is_suspended, "its Job")
            status = home.end_of("rights")
            home.events("rights", "Succeeded")
            closed.apply({key: binding[key] for key in ("apiVersion", "kind", "metadata", "roleRef", "subjects")})
            closed.until("rights-suspended", is_suspended, "its Job, once the rights are back")
            left = unwatched.status("rights-suspended")
            well = operator.get("/healthz")
        finally:
            operator.end()
    for space in spaces[1:]:
        space.kubectl("delete", "namespace", space.namespace, "--wait=false")

    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    assert "lastReportTime" in status["progress"]  # of a report that was taken in, so TokenReviews are allowed
    # Its Job is made after its Service.
    assert made["message"] == "suspended; set spec.suspend to false to go on"
    assert (left, well) == ({}, (200, "ok\n"))


def is_suspended(status: dict[str, object]) -> bool:
    return status.get("phase") == "Suspended"
