"""Nobody but the pods of one job may begin to talk to them."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import LABELS, OWNERS, POD_DEFAULTS, UID, children, parsed

from finetune_operator.manifests import build_children

OWN = {"matchLabels": {"finetune.dev/job-uid": UID}}


@pytest.mark.parametrize(
    ("nodes", "ingress"),
    [
        pytest.param(1, [], id="one pod has nobody to hear"),
        pytest.param(2, [{"from": [{"podSelector": OWN}]}], id="many pods hear each other"),
    ],
)
def test_the_pods_of_a_job_hear_each_other_and_nobody_else(nodes: int, ingress: list[Any]) -> None:
    made = children(parsed(resources={"nodes": nodes}))

    assert made.network_policy == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "yelp", "namespace": "team-a", "labels": LABELS, "ownerReferences": OWNERS},
        "spec": {"podSelector": OWN, "policyTypes": ["Ingress"], "ingress": ingress},
    }
    for job in (made.job, made.preflight_job):
        assert OWN["matchLabels"].items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_a_cluster_can_have_means_of_its_own() -> None:
    given = parsed()
    assert given.spec is not None

    assert build_children(given, given.spec, replace(POD_DEFAULTS, network_policy=False)).network_policy is None
