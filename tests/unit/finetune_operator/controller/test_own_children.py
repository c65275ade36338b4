"""Our label is for anybody to use. What is kept has the owner of what we make, too; of what may come late nothing is known yet."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import UID, finetunejob, job, merged, pod

from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.own_children import OwnChildren
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import job_name, preflight_job_name
from finetune_operator.job.ownership import job_as_owner

LABELS = {LABEL_JOB_UID: UID}
SECOND_RUN = {LABEL_JOB_UID: UID, "finetune.dev/run": "2"}
OWNER = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "name": "yelp",
    "uid": UID,
    "controller": True,
}
JOB_OWNER = {"apiVersion": "batch/v1", "kind": "Job", "name": "yelp", "uid": "job-uid", "controller": True}


@pytest.fixture
def finetunejobs() -> FineTuneJobs:
    known = FineTuneJobs(lambda _: None, serves=lambda namespace: namespace != "of-another-shard")
    known.update(finetunejob())
    return known


def owned(raw: dict[str, Any], owner: dict[str, Any] | None, **metadata: Any) -> dict[str, Any]:
    owners = [] if owner is None else [owner]
    return merged(raw, {"metadata": {"labels": LABELS, "ownerReferences": owners, **metadata}})


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (owned(job(), OWNER), True),
        (owned(job(), OWNER, name=preflight_job_name("yelp")), True),
        (owned(job(), OWNER, name=job_name("yelp", 2), labels=SECOND_RUN), True),
        (owned(job(), OWNER, name=preflight_job_name("yelp", 2), labels=SECOND_RUN), True),
        (owned(job(), OWNER, name=job_name("yelp", 2)), False),
        (owned(job(), OWNER, labels=SECOND_RUN), False),
        (owned(job(), OWNER, labels={"finetune.dev/run": "\u00b2"}), False),
        (owned(job(), None), False),
        (owned(job(), OWNER, labels={LABEL_JOB_UID: "another"}), None),
        (owned(job(), OWNER, labels={LABEL_JOB_UID: "another"}, namespace="of-another-shard"), False),
        (owned(job(), OWNER, labels=None), False),
        (owned(job(), OWNER, namespace="team-b"), False),
        (owned(job(), OWNER, name="another"), False),
        (owned(job(), {**OWNER, "uid": "another"}), False),
        (owned(job(), {**OWNER, "name": "another"}), False),
        (owned(job(), {**OWNER, "apiVersion": "v1"}), False),
        (owned(job(), {**OWNER, "kind": "Job"}), False),
        (owned(job(), {**OWNER, "controller": False}), False),
    ],
)
def test_a_job_is_kept_by_label_namespace_name_and_owner(
    finetunejobs: FineTuneJobs, raw: dict[str, Any], kept: bool | None
) -> None:
    assert OwnChildren(finetunejobs).is_job(raw) is kept


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (owned(pod(), JOB_OWNER), True),
        (owned(pod(), {**JOB_OWNER, "name": preflight_job_name("yelp")}), True),
        (owned(pod(), {**JOB_OWNER, "name": job_name("yelp", 2)}, labels=SECOND_RUN), True),
        (owned(pod(), JOB_OWNER, labels=SECOND_RUN), False),
        (owned(pod(), None), False),
        (owned(pod(), {**JOB_OWNER, "uid": "another"}), None),
        (owned(pod(), {**JOB_OWNER, "name": "another"}), False),
        (owned(pod(), {**JOB_OWNER, "apiVersion": "batch/v9"}), False),
        (owned(pod(), OWNER), False),
        (owned(pod(), JOB_OWNER, labels={LABEL_JOB_UID: "another"}), None),
        (owned(pod(), JOB_OWNER, labels={LABEL_JOB_UID: "another"}, namespace="of-another-shard"), False),
        (owned(pod(), JOB_OWNER, namespace="team-b"), False),
    ],
)
def test_a_pod_is_kept_by_label_namespace_and_owner(
    finetunejobs: FineTuneJobs, raw: dict[str, Any], kept: bool | None
) -> None:
    assert OwnChildren(finetunejobs).may_be_pod(raw, "job-uid") is kept


def test_a_pod_is_kept_before_its_job_is_seen_and_after_it_has_gone(finetunejobs: FineTuneJobs) -> None:
    ours, raw = OwnChildren(finetunejobs), owned(pod(), JOB_OWNER)
    before = ours.may_be_pod(raw, None)
    entry = finetunejobs.get(Key("team-a", "yelp"))
    assert entry is not None
    entry.note_job(job_as_owner("yelp", "job-uid"))

    after = ours.may_be_pod(raw, "its successor")

    assert (before, after) == (True, True)


def test_of_a_finetunejob_that_is_not_there_nothing_is_known_yet(finetunejobs: FineTuneJobs) -> None:
    finetunejobs.forget(Key("team-a", "yelp"))
    ours = OwnChildren(finetunejobs)

    assert (ours.is_job(owned(job(), OWNER)), ours.may_be_pod(owned(pod(), JOB_OWNER), None)) == (None, None)


def test_the_jobs_that_were_seen_last_are_remembered_in_bounded_memory(finetunejobs: FineTuneJobs) -> None:
    entry, first = finetunejobs.get(Key("team-a", "yelp")), job_as_owner("yelp", "the-first")
    assert entry is not None
    kept = []

    for number in range(100):
        entry.note_job(first)
        entry.note_job(job_as_owner("yelp", f"number-{number}"))
        kept.append(first in entry.jobs)

    assert all(kept)
    assert job_as_owner("yelp", "number-99") in entry.jobs
    assert len(entry.jobs) == 16
