"""Nobody but the pods of one job may begin to talk to them."""

from dataclasses import replace

from tests.unit.finetune_operator.samples import LABELS, OWNERS, POD_DEFAULTS, UID, children, parsed

from finetune_operator.manifests import build_children

OWN = {"matchLabels": {"finetune.dev/job-uid": UID}}


def test_nobody_may_talk_to_the_pods_of_any_job_of_the_namespace() -> None:
    made = children(parsed())

    assert made.network_policy is None
    assert made.isolation == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "finetune-operator-jobs",
            "namespace": "team-a",
            "labels": {"app.kubernetes.io/managed-by": "finetune-operator", "finetune.dev/shared": "true"},
        },
        "spec": {
            "podSelector": {"matchExpressions": [{"key": "finetune.dev/job-uid", "operator": "Exists"}]},
            "policyTypes": ["Ingress"],
            "ingress": [],
        },
    }
    for job in (made.job, made.preflight_job):
        assert OWN["matchLabels"].items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_many_pods_of_a_job_hear_each_other() -> None:
    made = children(parsed(resources={"nodes": 2}))

    assert made.isolation == children(parsed()).isolation
    assert made.network_policy == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "yelp", "namespace": "team-a", "labels": LABELS, "ownerReferences": OWNERS},
        "spec": {"podSelector": OWN, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": OWN}]}]},
    }


def test_a_cluster_can_have_means_of_its_own() -> None:
    given = parsed(resources={"nodes": 2})
    assert given.spec is not None

    made = build_children(given, given.spec, replace(POD_DEFAULTS, network_policy=False))

    assert (made.isolation, made.network_policy) == (None, None)
