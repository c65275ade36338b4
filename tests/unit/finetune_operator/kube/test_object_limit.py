"""Of any number of pods and Jobs that bear one job's label and owner, a bounded number is kept: those that tell most."""

from typing import Any

import pytest
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.samples import job, merged, pod, running, stamp, terminated

from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.job.parse_children import trim_job, trim_pod, worth_of_job, worth_of_pod
from finetune_operator.kube.client import PODS
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.object_limit import is_over_limit, most_informative

LABELS = {"metadata": {"labels": {LABEL_JOB_UID: "a"}}}


def numbered(number: int, raw: dict[str, Any], label: str = "a", seconds: float = 0) -> dict[str, Any]:
    own = {
        "name": f"p{number}",
        "uid": f"u{number}",
        "resourceVersion": str(number + 1),
        "labels": {LABEL_JOB_UID: label},
    }
    return merged(raw, {"metadata": {**own, "creationTimestamp": stamp(seconds)}})


def informer() -> Informer:
    return Informer(
        FakeApi(),
        PODS,
        label=LABEL_JOB_UID,
        on_change=lambda _: None,
        resync_seconds=60,
        transform=trim_pod,
        worth=worth_of_pod,
    )


@pytest.mark.thorough
@pytest.mark.parametrize("first", [True, False], ids=["before the others", "after them"])
def test_a_pod_that_runs_is_kept_among_any_number_that_do_not_and_other_jobs_lose_none(first: bool) -> None:
    cache, place = informer(), 0 if first else 1500
    others = [numbered(number, pod(node=None), seconds=number) for number in range(1, 1500)]
    known = numbered(place, pod(state=running()))
    for raw in [known, *others, numbered(9000, pod(), "b")] if first else [numbered(9000, pod(), "b"), *others, known]:
        cache.take({"type": "ADDED", "object": raw})

    kept = cache.labelled("a")

    assert len(kept) <= 750
    assert cache.get("team-a", known["metadata"]["name"]) is not None
    assert [each["metadata"]["name"] for each in cache.labelled("b")] == ["p9000"]
    for raw in [known, *others]:
        cache.take({"type": "DELETED", "object": raw})
    assert cache.labelled("a") == []
    assert not cache.has_labelled("a")


@pytest.mark.thorough
def test_why_the_pods_of_the_newest_attempt_wait_is_seen_however_many_of_former_ones_have_ended() -> None:
    cache = informer()
    for number in range(900):
        cache.take({"type": "ADDED", "object": numbered(number, terminated_pod(0), seconds=number)})
    for number in range(900, 1000):
        cache.take({"type": "ADDED", "object": numbered(number, pod(node=None), seconds=number)})
    for number in range(1000, 1156):
        cache.take({"type": "ADDED", "object": numbered(number, pod(), seconds=number)})

    kept = {each["metadata"]["name"] for each in cache.labelled("a")}

    assert len(kept) <= 750
    assert {f"p{number}" for number in range(556, 1156)} <= kept


def test_what_runs_tells_more_than_what_has_ended_and_that_more_than_what_never_ran() -> None:
    order = [
        pod(node=None),
        pod(),
        terminated_pod(10),
        terminated_pod(20),
        merged(pod(state=running()), {"metadata": {"creationTimestamp": stamp(0)}}),
    ]

    assert sorted(order, key=worth_of_pod) == order
    assert sorted(map(trim_pod, order), key=worth_of_pod) == [*map(trim_pod, order)]


def terminated_pod(created: float) -> dict[str, Any]:
    ended = merged(pod(state=terminated(0)), {"status": {"phase": "Succeeded"}})
    return merged(ended, {"metadata": {"creationTimestamp": stamp(created)}})


def test_a_job_that_has_not_ended_tells_more_than_those_that_have() -> None:
    ended, goes_on = job(end=("Failed", "BackoffLimitExceeded", "")), job()

    assert worth_of_job(trim_job(goes_on)) > worth_of_job(trim_job(ended))


def test_those_that_are_kept_stay_in_their_order() -> None:
    items = [{"n": number % 1000} for number in range(2000)]

    kept = most_informative(items, lambda item: (True, item["n"]))

    assert [item["n"] for item in kept] == [*range(700, 1000), *range(700, 1000)]
    assert (is_over_limit(750), is_over_limit(751)) == (False, True)
