"""An object is ours by apiVersion, kind, name and uid of its controller, and by nothing less."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import OWNERS, UID, finetunejob, job, merged, pod

from finetune_api.reasons import Reason
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.names import ANNOTATION_INSTALLATION
from finetune_operator.job.observation import Cause
from finetune_operator.job.ownership import conflict, is_our_claim, is_ours, job_as_owner, own_pods, run_of

OURS = parse_finetunejob(finetunejob())
JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "yelp", "uid": "job-uid", "controller": True}
FORGERIES = [
    {"apiVersion": "other.dev/v1"},
    {"apiVersion": "finetune.dev/v9"},
    {"kind": "Other"},
    {"name": "other"},
    {"uid": "other"},
    {"controller": False},
]


def child(owner: dict[str, Any] | None) -> dict[str, Any]:
    owners = {} if owner is None else {"ownerReferences": [owner]}
    return {"metadata": {"namespace": "team-a", "name": "yelp", "labels": {LABEL_JOB_UID: UID}, **owners}}


def test_what_we_made_is_ours() -> None:
    assert is_ours(child(OWNERS[0]), OURS)
    assert is_our_claim(child(OWNERS[0]), OURS)


@pytest.mark.parametrize("forged", FORGERIES, ids=str)
def test_what_another_made_is_not_ours_whatever_its_label(forged: dict[str, Any]) -> None:
    assert not is_ours(child({**OWNERS[0], **forged}), OURS)


def test_only_a_claim_is_ours_by_its_label_since_it_may_outlive_its_job() -> None:
    assert (is_ours(child(None), OURS), is_our_claim(child(None), OURS)) == (False, True)
    assert not is_our_claim(child({**OWNERS[0], "uid": "other"}), OURS)


def test_pods_are_those_of_the_job_in_its_namespace() -> None:
    def owned(number: int, **change: Any) -> dict[str, Any]:
        return merged(pod(number), {"metadata": {"ownerReferences": [{**JOB, **change}]}})

    forged = [owned(number + 2, **change) for number, change in enumerate([*FORGERIES, {"apiVersion": "batch/v2"}])]
    elsewhere = merged(owned(9), {"metadata": {"namespace": "team-b"}})

    assert own_pods("team-a", {job_as_owner("yelp", "job-uid")}, [owned(1), *forged, elsewhere, pod(10)]) == [owned(1)]


def test_an_owner_reference_of_any_shape_is_read() -> None:
    assert not is_ours(child({"controller": True}), OURS)


@pytest.mark.parametrize(
    ("labels", "run"), [({"finetune.dev/run": "2"}, 2), ({}, 1), (None, 1), ({"finetune.dev/run": "x"}, 0)]
)
def test_the_run_of_a_child_is_in_its_label(labels: dict[str, str] | None, run: int) -> None:
    assert run_of({"metadata": {"labels": labels}}) == run


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            "two/keys",
            "the Job yelp was made by another installation of the operator, two/keys: let one of the two serve this namespace, or "
            "delete that Job to have it run by this one",
        ),
        (
            "one/keys",
            "the Job yelp is there and was not made for this FineTuneJob: delete or rename one of the two",
        ),
        (
            "two/<b>\u202e",
            "the Job yelp is there and was not made for this FineTuneJob: delete or rename one of the two",
        ),
    ],
)
def test_a_conflict_names_the_other_installation_that_has_the_job(named: str, message: str) -> None:
    theirs = merged(job(), {"metadata": {"annotations": {ANNOTATION_INSTALLATION: named}}})

    assert conflict(theirs, "Job", UID, "one/keys") == Cause(Reason.NAME_CONFLICT, message)
