"""The volume that the jobs of a namespace share: its claim, and where a pod has it."""

from typing import Any

import pytest
from tests.unit.finetune_operator.manifests.frozen import with_profile
from tests.unit.finetune_operator.samples import children, parsed

from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.manifests.cache import build_cache_claim
from finetune_operator.manifests.metadata import is_shared


def mounted(job: dict[str, Any]) -> tuple[Any, Any, Any]:
    pod = job["spec"]["template"]["spec"]
    return (
        next(each for each in pod["volumes"] if each["name"] == "cache"),
        next(each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "cache"),
        next(each for each in pod["containers"][0]["env"] if each["name"] == "FINETUNE_CACHE"),
    )


def test_a_claim_of_the_namespace_is_mounted_by_training_and_preflight() -> None:
    made = children(with_profile({"cache": {"claimName": "models"}}))

    assert made.cache is None
    for job in (made.job, made.preflight_job):
        assert mounted(job) == (
            {"name": "cache", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "cache", "mountPath": "/var/cache/finetune"},
            {"name": "FINETUNE_CACHE", "value": "/var/cache/finetune"},
        )


def test_a_claim_that_the_operator_makes_belongs_to_the_namespace_and_to_no_job() -> None:
    made = children(with_profile({"cache": {"size": "500Gi", "storageClassName": "nfs"}}))

    name = made.cache["metadata"]["name"]
    assert made.cache == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "labels": {"app.kubernetes.io/managed-by": "finetune-operator", "finetune.dev/cache": "true"},
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "nfs",
            "resources": {"requests": {"storage": "500Gi"}},
        },
    }
    assert mounted(made.job)[0] == {"name": "cache", "persistentVolumeClaim": {"claimName": name}}


def test_jobs_of_profiles_that_ask_for_the_same_share_a_claim_and_others_do_not() -> None:
    asked = [{"size": "500Gi"}, {"size": "500Gi"}, {"size": "1Ti"}, {"size": "500Gi", "storageClassName": "nfs"}]

    names = [children(with_profile({"cache": cache})).cache["metadata"]["name"] for cache in asked]

    assert names[0] == names[1]
    assert len(set(names)) == 3


@pytest.mark.parametrize(
    ("labels", "ours"),
    [
        ({"app.kubernetes.io/managed-by": "finetune-operator", "finetune.dev/cache": "true"}, True),
        ({"finetune.dev/cache": "true"}, False),
        ({}, False),
    ],
)
def test_a_claim_of_that_name_that_another_made_is_not_adopted(labels: dict[str, str], ours: bool) -> None:
    wanted = build_cache_claim("team-a", with_profile({"cache": {"size": "1Gi"}}).profile)

    assert wanted is not None
    assert is_shared({"metadata": {"name": wanted["metadata"]["name"], "labels": labels}}, wanted) is ours


def handed_on(job: dict[str, Any]) -> dict[str, str]:
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    ours = ("FINETUNE_OWN_VOLUME", "FINETUNE_DOWNLOADS", "FINETUNE_TOKENS", "FINETUNE_RETRIES")
    return {each["name"]: each["value"] for each in env if each["name"] in ours}


@pytest.mark.parametrize("nodes", [1, 2])
def test_without_a_cache_attempts_hand_on_what_they_have_on_the_jobs_own_volume(nodes: int) -> None:
    made = children(parsed(resources={"nodes": nodes}))

    claim = made.pvc["metadata"]["name"]
    assert handed_on(made.job) == {
        "FINETUNE_OWN_VOLUME": f"/mnt/volumes/{claim}",
        "FINETUNE_DOWNLOADS": f"/mnt/volumes/{claim}/.downloads",
        "FINETUNE_TOKENS": f"/mnt/volumes/{claim}/.tokens",
        "FINETUNE_RETRIES": "3",
    }


@pytest.mark.parametrize(
    "given",
    [
        parsed(output={"uri": "s3://bucket/out"}),
        parsed(output={"uri": "pvc://models/out"}),
    ],
    ids=["a bucket", "the user's own volume"],
)
def test_nothing_is_handed_on_and_no_volume_is_the_jobs_own_where_the_user_has_a_place(given: FineTuneJob) -> None:
    assert handed_on(children(given).job) == {}


def test_with_a_cache_nothing_is_handed_on_on_the_jobs_own_volume() -> None:
    made = children(with_profile({"cache": {"claimName": "models"}}))

    claim = made.pvc["metadata"]["name"]
    assert handed_on(made.job) == {"FINETUNE_OWN_VOLUME": f"/mnt/volumes/{claim}"}
