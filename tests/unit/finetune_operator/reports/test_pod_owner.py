"""Whose pod a pod is follows from the owner references and uids, never from a label."""

from typing import Any

import pytest
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.samples import UID, job, member, merged, pod

from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import LABEL_JOB_UID
from finetune_operator.kube.client import JOBS, PODS, Kind
from finetune_operator.kube.informer import Informer
from finetune_operator.reports.pod_owner import PodOwners
from finetune_operator.reports.token_review import Caller

FINETUNEJOB = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "name": "yelp",
    "uid": UID,
    "controller": True,
}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "yelp", "uid": "job-uid", "controller": True}


def owned(raw: dict[str, Any], *owners: dict[str, Any]) -> dict[str, Any]:
    return merged(raw, {"metadata": {"ownerReferences": list(owners), "labels": {LABEL_JOB_UID: UID}}})


def owners_in(*objects: tuple[Kind, dict[str, Any]]) -> tuple[PodOwners, FakeApi]:
    """A look-up whose caches are empty, so that all is asked of the API."""
    api = FakeApi()
    for kind, raw in objects:
        api.put(kind, raw)

    def cache(kind: Kind) -> Informer:
        return Informer(api, kind, namespace=None, label=LABEL_JOB_UID, on_change=lambda _: None, relist_seconds=60)

    return PodOwners(api, cache(JOBS), cache(PODS)), api


async def test_a_pod_belongs_to_the_finetunejob_that_owns_its_job() -> None:
    owners, api = owners_in((JOBS, owned(job(), FINETUNEJOB)), (PODS, owned(pod(), JOB)))

    found = await owners.find(Caller("team-a", "yelp-1", "pod-1"))

    assert found == Key("team-a", "yelp")
    assert api.requests == ["get pods", "get jobs"]


@pytest.mark.parametrize(
    ("pod_owners", "job_owners", "uid"),
    [
        ([JOB], [FINETUNEJOB], "an-earlier-pod-of-that-name"),
        ([], [FINETUNEJOB], "pod-1"),
        ([{**JOB, "uid": "another"}], [FINETUNEJOB], "pod-1"),
        ([{**JOB, "controller": False}], [FINETUNEJOB], "pod-1"),
        ([{**JOB, "kind": "ReplicaSet"}], [FINETUNEJOB], "pod-1"),
        ([JOB], [], "pod-1"),
        ([JOB], [{**FINETUNEJOB, "kind": "CronJob"}], "pod-1"),
        ([JOB], [{**FINETUNEJOB, "apiVersion": "other.dev/v1"}], "pod-1"),
    ],
)
async def test_a_pod_with_our_label_and_another_origin_is_nobodys(
    pod_owners: list[dict[str, Any]], job_owners: list[dict[str, Any]], uid: str
) -> None:
    owners, _ = owners_in((JOBS, owned(job(), *job_owners)), (PODS, owned(pod(), *pod_owners)))

    assert await owners.find(Caller("team-a", "yelp-1", uid)) is None


async def test_a_pod_that_is_not_there_is_nobodys() -> None:
    owners, _ = owners_in()

    assert await owners.find(Caller("team-a", "yelp-1", "pod-1")) is None


@pytest.mark.parametrize(("index", "found"), [(0, Key("team-a", "yelp")), (1, None)])
async def test_of_many_pods_only_the_first_speaks(index: int, found: Key | None) -> None:
    sender = owned(member(index), JOB)
    owners, _ = owners_in((JOBS, owned(job(), FINETUNEJOB)), (PODS, sender))
    metadata = sender["metadata"]

    assert await owners.find(Caller("team-a", metadata["name"], metadata["uid"])) == found
