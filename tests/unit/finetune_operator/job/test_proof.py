"""What the operator wrote itself it knows later by a proof, and what somebody else wrote has none."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import OWNERS, PROOF_KEY, UID, finetunejob, job, merged, settled, stamp

from finetune_api.status import AppliedProfile
from finetune_operator.job.finetunejob import FineTuneJob, parse_finetunejob
from finetune_operator.job.names import ANNOTATION_INSTALLATION, ANNOTATION_PROFILE, ANNOTATION_PROOF
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.parse_children import parse_job
from finetune_operator.job.proof import is_proven, job_proof, prove_older, prove_profile

KEYS = [b"a newer key", PROOF_KEY]
OWN = OwnJobs(lambda: [PROOF_KEY], "ns/one")
LATER = OwnJobs(lambda: KEYS, "ns/one")
KEPT = AppliedProfile.model_validate(settled()["profile"])
OVER_BUDGET = {
    "phase": "Queued",
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "BudgetUsedUp", "message": "", "lastTransitionTime": stamp(0)}
    ],
}
"""Of a job that waits for the next month, and so for its Job."""
OWNED = {"metadata": {"ownerReferences": OWNERS}}


def with_status(**status: Any) -> FineTuneJob:
    return parse_finetunejob(finetunejob(status))


def test_a_profile_is_proven_for_one_run_of_one_job_by_a_key_of_now_or_before() -> None:
    given = prove_profile(KEPT, UID, 2, PROOF_KEY)

    assert [is_proven(given, *whose, KEYS) for whose in ((UID, 2), (UID, 1), ("other", 2))] == [True, False, False]
    assert not is_proven(given, UID, 2, [b"another operator's"])
    assert not is_proven(given.model_copy(update={"name": "other"}), UID, 2, KEYS)


def test_a_profile_from_before_jobs_were_proven_still_counts() -> None:
    assert is_proven(prove_older(KEPT, UID, PROOF_KEY), UID, 1, KEYS)


@pytest.mark.parametrize(
    "annotations", [{}, {ANNOTATION_PROOF: ""}, {ANNOTATION_PROOF: "ü"}, {ANNOTATION_PROOF: "0" * 32}]
)
@pytest.mark.parametrize(
    "status", [{}, settled(), {"phase": "Pending"}, OVER_BUDGET], ids=["none", "settled", "pending", "over budget"]
)
def test_a_job_with_our_name_label_and_owner_is_not_ours_without_its_proof(
    annotations: dict[str, str], status: dict[str, Any]
) -> None:
    squatted = merged(job(), OWNED)
    squatted["metadata"]["annotations"] = annotations

    assert not OWN.is_own(squatted, with_status(**status))


def test_the_proof_of_one_job_is_none_of_another_s() -> None:
    of_another = {"annotations": {ANNOTATION_PROOF: job_proof("yelp", "another-uid", PROOF_KEY)}}

    assert not OWN.is_own(merged(job(), merged(OWNED, {"metadata": of_another})), with_status())
    assert not OWN.is_own(job(), with_status())


@pytest.mark.parametrize(
    "status",
    [
        {"profile": prove_older(KEPT, UID, PROOF_KEY).to_wire()},
        {"phase": "Running"},
        {"phase": "Pending", "startTime": stamp(0)},
        {"phase": "Pending", "attempts": [{"number": 1, "pod": "yelp-abcde"}]},
        {"phase": "Queued"},
    ],
    ids=["older release", "lost key", "before profiles, without a node", "before profiles, pulling", "in a queue"],
)
def test_a_job_that_runs_from_before_goes_on(status: dict[str, Any]) -> None:
    unproven = merged(job(), OWNED)
    unproven["metadata"]["annotations"] = {}

    assert OWN.is_own(unproven, with_status(**status))


@pytest.mark.parametrize(("installation", "is_own"), [("ns/one", True), ("ns/two", False), ("one", False), ("", False)])
def test_a_job_that_names_another_installation_is_never_taken_over(installation: str, is_own: bool) -> None:
    """It may be running it this very moment. One of the same has lost its keys."""
    theirs = OwnJobs(lambda: [b"a key that is not known"], installation)
    sealed = theirs.seal(merged(job(), OWNED), with_status())

    assert OWN.is_own(sealed, with_status(phase="Running", startTime=stamp(0))) is is_own


def test_a_sealed_job_is_known_later_and_holds_what_its_finetunejob_keeps() -> None:
    manifest = merged(job(), {"metadata": {"ownerReferences": OWNERS, "annotations": {"other": "stays"}}})

    sealed = OWN.seal(manifest, with_status(**settled()))

    assert (LATER.is_own(sealed, with_status()), LATER.has_proof(sealed, UID)) == (True, True)
    assert not LATER.has_proof(sealed, "of an earlier yelp")
    assert LATER.kept_by(sealed, with_status()) == KEPT
    assert sealed["metadata"]["annotations"]["other"] == "stays"


def test_a_job_from_before_is_given_its_proof_and_one_that_has_it_nothing() -> None:
    unproven = merged(job(), OWNED)
    unproven["metadata"]["annotations"] = {"other": "stays"}
    held, resumed = with_status(phase="Suspended"), with_status(phase="Pending")

    patch = OWN.adopt(
        {"metadata": {"annotations": {"requested": "x"}}, "spec": {"suspend": False}}, parse_job(unproven), held
    )
    adopted = merged(unproven, patch or {})

    assert (OWN.is_own(unproven, held), OWN.is_own(unproven, resumed), OWN.is_own(adopted, resumed)) == (
        True,
        False,
        True,
    )
    assert adopted["metadata"]["annotations"].keys() == {
        "other",
        "requested",
        ANNOTATION_PROOF,
        ANNOTATION_INSTALLATION,
    }
    assert OWN.adopt(None, parse_job(adopted), resumed) is None


@pytest.mark.parametrize("text", [None, "", "{", "[]", KEPT.model_copy(update={"settings": "{}"}).model_dump_json()])
def test_what_somebody_wrote_into_a_job_is_no_profile(text: str | None) -> None:
    annotations = {} if text is None else {ANNOTATION_PROFILE: text}

    assert OWN.kept_by(merged(job(), {"metadata": {"annotations": annotations}}), with_status()) is None
