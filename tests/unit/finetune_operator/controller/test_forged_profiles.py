"""A profile that the operator did not write counts for nothing, and one that is taken away comes back."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.settling import made_job, pass_of, profile
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.samples import (
    PROOF_KEY,
    SPEC,
    finetunejob,
    job,
    merged,
    pod,
    reason_of,
    running,
    settled,
)

from finetune_api.profile import FineTuneProfileSpec
from finetune_api.profile_rules import Request
from finetune_api.status import AppliedProfile
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.profile import apply_profile
from finetune_operator.job.proof import prove_profile
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, PODS, PROFILES


def forged(**defaults: Any) -> dict[str, Any]:
    """What somebody writes as the profile of a job who may write its status: all of it fits together, but for the proof."""
    open_profile = {"metadata": {"name": "default", "generation": 5}, "spec": {"defaults": defaults}}
    request = Request(FineTuneJobSpec.model_validate(SPEC), "yelp", "team-a", {})
    applied = apply_profile(request, open_profile, FineTuneProfileSpec())
    assert isinstance(applied, AppliedProfile)
    return applied.to_wire()


def _proof_of_another_job(profile: dict[str, Any]) -> dict[str, Any]:
    return prove_profile(AppliedProfile.model_validate(profile), "another-uid", 1, PROOF_KEY).to_wire()


def _proof_of_other_settings(profile: dict[str, Any]) -> dict[str, Any]:
    return {**profile, "proof": settled()["profile"]["proof"]}


@pytest.mark.parametrize("prove", [dict, _proof_of_another_job, _proof_of_other_settings])
async def test_a_profile_that_the_operator_did_not_write_into_a_status_counts_for_nothing(
    fresh: World,
    prove: Any,
) -> None:
    fresh.api.put(PROFILES, profile(defaults={"image": "corp/trainer"}))
    fresh.api.put(FINETUNEJOBS, finetunejob({"profile": prove(forged(image="evil", serviceAccountName="admin"))}))

    await pass_of(fresh)

    pod = made_job(fresh)["spec"]["template"]["spec"]
    assert (pod["containers"][0]["image"], pod.get("serviceAccountName")) == ("corp/trainer", None)
    assert fresh.status()["profile"]["generation"] == 5


@pytest.mark.parametrize(
    "past", [{"startTime": "2026-11-20T12:00:00Z"}, {"attempts": [{"number": 1, "pod": "p"}]}, {"profile": {"name": 5}}]
)
async def test_a_status_that_tells_of_a_past_spares_no_job_the_rules_of_its_profile(
    fresh: World, past: dict[str, Any]
) -> None:
    fresh.api.put(PROFILES, profile(limits={"gpus": 0}))
    fresh.api.put(FINETUNEJOBS, finetunejob(past, resources={"gpus": 1}))

    await pass_of(fresh)

    assert (JOBS.plural, "yelp") not in fresh.api.objects
    assert reason_of(fresh.status()) == "PolicyViolation"


async def test_a_profile_that_is_forged_while_the_job_runs_changes_nothing(fresh: World) -> None:
    fresh.api.put(PROFILES, profile(limits={"activeDeadlineSeconds": 60}))
    await pass_of(fresh)
    before, kept = made_job(fresh)["spec"], fresh.status()["profile"]
    live = fresh.api.objects[FINETUNEJOBS.plural, "yelp"]
    changed = {"metadata": {"generation": 2}, "spec": {"runPolicy": {"activeDeadlineSeconds": 9999}}}
    fresh.api.put(FINETUNEJOBS, merged(live, {"status": {"profile": {**forged(), "proof": kept["proof"]}}, **changed}))

    requests = await pass_of(fresh)

    assert before["activeDeadlineSeconds"] == 60
    assert made_job(fresh)["spec"] == before
    assert [each for each in requests if each.startswith("merge")] == []


@pytest.mark.parametrize("taken", ["away", "over"])
async def test_a_job_whose_profile_is_taken_from_its_status_gets_the_one_back_that_its_job_was_made_under(
    fresh: World, taken: str
) -> None:
    fresh.api.put(PROFILES, profile(limits={"activeDeadlineSeconds": 60}))
    await pass_of(fresh)
    kept = fresh.status()["profile"]
    fresh.api.put(PROFILES, profile(limits={"activeDeadlineSeconds": 9999}))
    live = fresh.api.objects[FINETUNEJOBS.plural, "yelp"]
    status = {name: value for name, value in live["status"].items() if name != "profile"}
    if taken == "over":
        status["profile"] = forged(image="evil")
    changed = {"metadata": {"generation": 2}, "spec": {"runPolicy": {"activeDeadlineSeconds": 9999}}}
    fresh.api.put(FINETUNEJOBS, {**merged(live, changed), "status": status})

    await pass_of(fresh)

    assert fresh.status()["profile"] == kept
    assert made_job(fresh)["spec"]["activeDeadlineSeconds"] == 60
    assert [each for each in await pass_of(fresh) if each.startswith(("get", "replace"))] == []


async def test_a_running_job_whose_profile_is_forged_goes_on_where_its_own_would_refuse_it_now(fresh: World) -> None:
    fresh.api.put(PROFILES, profile())
    fresh.api.put(FINETUNEJOBS, finetunejob(resources={"gpus": 1}))
    await pass_of(fresh)
    fresh.api.put(PROFILES, profile(limits={"gpus": 0}))
    live = fresh.api.objects[FINETUNEJOBS.plural, "yelp"]
    fresh.api.put(FINETUNEJOBS, merged(live, {"status": {"profile": forged(image="evil")}}))

    await pass_of(fresh)

    assert fresh.status()["phase"] == "Pending"
    assert (JOBS.plural, "yelp") in fresh.api.objects


async def test_the_status_of_a_running_job_follows_it_also_where_its_profile_is_forged_and_its_job_names_none(
    fresh: World,
) -> None:
    fresh.api.put(FINETUNEJOBS, finetunejob({"phase": "Pending", "profile": forged(image="evil")}))
    fresh.api.put(JOBS, merged(job(), OWNED))
    fresh.api.put(PODS, merged(pod(state=running()), OWNED_POD))

    await pass_of(fresh)

    assert fresh.status()["phase"] == "Preparing"
