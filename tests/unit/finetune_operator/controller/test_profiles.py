"""A pass gives a job its profile before it makes anything, once, and keeps to it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import KEY, OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
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
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_api.profile import FineTuneProfileSpec
from finetune_api.profile_rules import Request
from finetune_api.status import AppliedProfile
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.profiles import Profiles, trim_profile
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.profile import apply_profile
from finetune_operator.job.proof import prove_profile
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, NAMESPACES, PODS, PROFILES, Kind
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.packed import pack
from finetune_operator.kube.server_time import ServerTime


def profile(name: str = "default", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "generation": 5}, "spec": spec}


@pytest.fixture
def fresh(world: World) -> World:
    """A job that nothing was made for, of a namespace with labels."""
    world.api.put(FINETUNEJOBS, finetunejob())
    world.api.put(NAMESPACES, {"metadata": {"name": "team-a", "labels": {"team": "a"}}})
    return world


async def pass_of(world: World) -> list[str]:
    """The requests of one pass over what the caches then hold."""
    await world.see()
    await world.reconcile()
    return world.api.requests


def made_job(world: World) -> dict[str, Any]:
    return world.api.objects[JOBS.plural, "yelp"]


async def test_the_profile_is_in_the_status_before_the_first_child_is_made(fresh: World) -> None:
    fresh.api.put(PROFILES, profile(defaults={"image": "corp/trainer"}))

    requests = await pass_of(fresh)

    assert requests.index("replace status of finetunejobs") < requests.index("create persistentvolumeclaims")
    kept = fresh.status()["profile"]
    assert (kept["name"], kept["generation"]) == ("default", 5)
    assert made_job(fresh)["spec"]["template"]["spec"]["containers"][0]["image"] == "corp/trainer"


async def test_a_job_that_has_its_profile_is_not_asked_about_again(fresh: World) -> None:
    fresh.api.put(PROFILES, profile())
    await pass_of(fresh)

    requests = await pass_of(fresh)

    assert [each for each in requests if "namespaces" in each or "profiles" in each] == []


async def test_a_changed_profile_touches_no_child_that_is_made_anew(fresh: World) -> None:
    fresh.api.put(PROFILES, profile(defaults={"image": "corp/trainer", "scratch": "1Gi"}))
    await pass_of(fresh)
    before = made_job(fresh)["spec"]
    fresh.api.put(PROFILES, profile(defaults={"image": "other"}, limits={"gpus": 0}))
    del fresh.api.objects[JOBS.plural, "yelp"]

    await pass_of(fresh)

    assert made_job(fresh)["spec"] == before


async def test_a_job_that_breaks_a_rule_fails_before_anything_is_made(fresh: World) -> None:
    fresh.api.put(PROFILES, profile(limits={"gpus": 0}))
    fresh.api.put(FINETUNEJOBS, finetunejob(resources={"gpus": 1}))

    requests = await pass_of(fresh)

    assert [each for each in requests if each.startswith("create") and each != "create events"] == []
    status = fresh.status()
    assert (status["phase"], reason_of(status)) == ("Failed", "PolicyViolation")
    assert status["failure"]["message"] == "profile default: spec.resources.gpus 1 is too much; limits.gpus is 0"
    assert "profile" not in status


async def test_a_job_waits_for_its_profile_and_goes_on_when_it_comes(fresh: World) -> None:
    labels = {"finetune.dev/profile": "gpus"}
    fresh.api.put(NAMESPACES, {"metadata": {"name": "team-a", "labels": labels}})
    await pass_of(fresh)
    waiting = fresh.status()
    fresh.api.put(PROFILES, profile("gpus"))
    fresh.finetunejobs.retry_unsettled()

    await pass_of(fresh)

    assert (waiting["phase"], reason_of(waiting)) == ("Pending", "ProfileNotFound")
    assert fresh.status()["profile"]["name"] == "gpus"
    assert (JOBS.plural, "yelp") in fresh.api.objects


async def test_only_jobs_without_a_profile_are_looked_at_when_one_changes(fresh: World) -> None:
    fresh.api.put(PROFILES, profile())
    await pass_of(fresh)
    entry = fresh.finetunejobs.get(KEY)
    assert entry is not None
    entry.obstacle.tries = 3

    fresh.finetunejobs.retry_unsettled()

    assert entry.obstacle.tries == 3


async def test_a_job_that_began_before_there_were_profiles_goes_on_without_one(fresh: World) -> None:
    fresh.api.put(PROFILES, profile(limits={"gpus": 0}))
    fresh.api.put(JOBS, merged(job(), OWNED))

    await pass_of(fresh)

    assert "profile" not in fresh.status()
    assert fresh.status()["phase"] == "Pending"


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


async def test_where_the_namespace_may_not_be_read_the_job_waits_and_says_so(fresh: World) -> None:
    fresh.api.failures["get namespaces"] = refusal(403, 'namespaces "team-a" is forbidden')

    requests = await pass_of(fresh)

    assert "create jobs" not in requests
    assert fresh.status()["message"] == 'namespaces "team-a" is forbidden'


async def test_a_job_that_changed_meanwhile_is_looked_at_again_before_anything_is_made(fresh: World) -> None:
    await fresh.see()
    fresh.edit(suspend=True)
    fresh.api.put(PROFILES, profile())

    wait = await fresh.reconcile()

    assert wait is not None
    assert "create jobs" not in fresh.api.requests


async def test_a_run_that_has_ended_is_not_run_again_by_who_has_not_seen_that_it_began(fresh: World) -> None:
    """To write the profile first finds out: its Job and children may be gone by then."""
    fresh.api.put(PROFILES, profile())
    await fresh.see()
    fresh.api.put(FINETUNEJOBS, finetunejob({**settled(), "phase": "Succeeded"}))

    await fresh.reconcile()
    await fresh.reconcile()

    assert [each for each in fresh.api.requests if each.startswith("create")] == []
    assert fresh.status()["phase"] == "Succeeded"


async def test_who_ends_before_the_first_child_is_made_leaves_a_job_that_begins_under_the_same_profile(
    fresh: World,
) -> None:
    fresh.api.put(PROFILES, profile(defaults={"image": "corp/trainer"}))
    fresh.api.failures["create persistentvolumeclaims"] = ConnectionError("the operator is killed")
    with pytest.raises(ConnectionError):
        await pass_of(fresh)
    fresh.api.failures.clear()
    fresh.api.put(PROFILES, profile(defaults={"image": "another/trainer"}))

    await pass_of(fresh)

    assert made_job(fresh)["spec"]["template"]["spec"]["containers"][0]["image"] == "corp/trainer"


async def test_a_status_that_is_lost_names_the_place_of_the_run_again_that_the_profile_gives(fresh: World) -> None:
    fresh.api.put(PROFILES, profile(defaults={"output": "pvc://shared/{name}"}))
    await pass_of(fresh)
    before = fresh.status()["run"]["output"]
    fresh.api.put(FINETUNEJOBS, {**fresh.api.objects[FINETUNEJOBS.plural, "yelp"], "status": {}})
    fresh.finetunejobs.forget(KEY)  # as after a restart

    await pass_of(fresh)

    assert (before, fresh.status()["run"]["output"]) == ("pvc://shared/yelp", "pvc://shared/yelp")


async def test_nothing_is_made_where_a_status_cannot_keep_the_profile(
    fresh: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as with a CRD from before there were profiles."""
    fresh.api.put(PROFILES, profile())
    replace_status = fresh.api.replace_status

    async def without_profile(kind: Kind, manifest: dict[str, Any], **more: Any) -> dict[str, Any]:
        status = {name: value for name, value in manifest["status"].items() if name != "profile"}
        return await replace_status(kind, {**manifest, "status": status}, **more)

    fresh.api.replace_status = without_profile  # type: ignore[method-assign]

    requests = await pass_of(fresh)

    assert requests.count("replace status of finetunejobs") == 2
    assert [each for each in requests if each.startswith("create")] == []
    assert "its status does not keep its profile" in caplog.text


def of(api: FakeApi, built_in: FineTuneProfileSpec) -> Profiles:
    cache = Informer(api, PROFILES, label=None, on_change=lambda _: None, resync_seconds=0, transform=trim_profile)
    return Profiles(api, cache, built_in=built_in, keys=lambda: [PROOF_KEY], installation="finetune/keys")


async def settled_down(profiles: Profiles) -> None:
    """The default profile is looked for, and all that follows from that is done."""
    task = asyncio.create_task(profiles.keep_default())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()


async def test_a_default_profile_that_is_deleted_while_it_is_looked_up_comes_back() -> None:
    class DeletedMeanwhile(FakeApi):
        async def get(self, kind: Kind, namespace: str, name: str, **others: Any) -> dict[str, Any] | None:
            found = await super().get(kind, namespace, name, **others)
            if self.objects.pop((kind.plural, name), None) is not None:
                profiles.want_default()  # as the watch says before the answer is read
            return found

    api = DeletedMeanwhile()
    api.put(PROFILES, profile(limits={"gpus": 2}))
    profiles = of(api, FineTuneProfileSpec())

    profiles.want_default()
    await settled_down(profiles)

    assert api.objects[PROFILES.plural, "default"]["spec"] == FineTuneProfileSpec().to_wire()


@pytest.mark.parametrize("there", [False, True])
async def test_the_default_profile_is_made_where_there_is_none_and_never_changed(there: bool) -> None:
    api = FakeApi()
    if there:
        api.put(PROFILES, profile(limits={"gpus": 2}))
    profiles = of(api, FineTuneProfileSpec())

    profiles.want_default()
    await settled_down(profiles)

    made = api.objects[PROFILES.plural, "default"]["spec"]
    assert made == ({"limits": {"gpus": 2}} if there else FineTuneProfileSpec().to_wire())
    assert ("create finetuneprofiles" in api.requests) is not there


async def test_a_job_waits_for_the_next_month_where_its_namespace_has_used_this_one_up(fresh: World) -> None:
    fresh.api.put(PROFILES, profile(limits={"gpuSecondsPerNamespace": 7200}))
    fresh.month_used = 7200
    held = [each for each in await pass_of(fresh) if each.startswith("create")]
    wait = await fresh.reconcile()
    status = fresh.status()

    fresh.month_used = 0
    fresh.time += 60
    await pass_of(fresh)

    assert (held, status["phase"], reason_of(status)) == (["create events"], "Queued", "BudgetUsedUp")
    assert "has used 2 of the 2 GPU-hours that FineTuneProfile default gives it" in status["message"]
    assert status["waiting"]["budget"] == {"profile": "default", "allowedGpuSeconds": 7200, "usedGpuSeconds": 7200}
    assert "profile" not in status
    assert wait is not None
    assert made_job(fresh)["metadata"]["name"] == "yelp"


async def test_a_job_that_waits_for_the_next_month_is_looked_at_when_that_begins(
    fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerTime, "at", lambda self, ours: datetime(2026, 11, 30, 23, 59, 58, tzinfo=UTC))
    fresh.api.put(PROFILES, profile(limits={"gpuSecondsPerNamespace": 7200}))
    fresh.month_used = 7200
    await pass_of(fresh)

    assert await fresh.reconcile() == 2
    fresh.time += 2
    fresh.month_used = 0
    await fresh.reconcile()

    assert made_job(fresh)["metadata"]["name"] == "yelp"


async def test_a_job_without_gpus_has_no_part_in_the_budget(fresh: World) -> None:
    fresh.api.put(FINETUNEJOBS, finetunejob(resources={"gpus": 0}))
    fresh.api.put(PROFILES, profile(limits={"gpuSecondsPerNamespace": 0}))

    await pass_of(fresh)

    assert made_job(fresh)["metadata"]["name"] == "yelp"


def test_namespaces_whose_labels_cannot_be_read_keep_no_other_waiting_and_of_one_all_jobs_wait_once() -> None:
    class AwayApi(FakeApi):
        async def get(self, kind: Kind, *arguments: Any, **others: Any) -> Any:
            self.requests.append(f"get {kind.plural}")
            await asyncio.sleep(10)
            raise TimeoutError

    async def program() -> tuple[set[type], float]:
        jobs = [
            parse_finetunejob(merged(finetunejob(), {"metadata": {"namespace": f"team-{number // 10}"}}))
            for number in range(1000)
        ]
        tries = (reader.settle(each, each.spec, running=False) for each in jobs if each.spec is not None)
        failures = await asyncio.gather(*tries, return_exceptions=True)
        return {type(each) for each in failures}, asyncio.get_running_loop().time()

    api = AwayApi()
    reader = profiles(api)

    assert run_in_virtual_time(program()) == ({TimeoutError}, 10)
    assert api.requests == ["get namespaces"] * 100


def profiles(api: FakeApi | None = None) -> Profiles:
    api = api or FakeApi()
    cache = Informer(api, PROFILES, label=None, on_change=lambda _: None, resync_seconds=300)  # type: ignore[arg-type]
    return Profiles(api, cache, built_in=FineTuneProfileSpec(), keys=lambda: [PROOF_KEY], installation="finetune/keys")  # type: ignore[arg-type]


def test_a_job_that_has_not_changed_is_read_once() -> None:
    reader = profiles()
    first = reader.read_finetunejob(pack(finetunejob()))

    assert reader.read_finetunejob(pack(finetunejob())) is first


def test_one_version_is_read_again_where_another_status_is_kept_of_it() -> None:
    reader = profiles()
    reader.read_finetunejob(pack(finetunejob({"phase": "Pending"})))

    assert reader.read_finetunejob(pack(finetunejob({"phase": "Running"}))).status.phase == "Running"


def test_only_the_status_is_read_again_where_nothing_else_has_changed() -> None:
    reader, later = profiles(), merged(finetunejob({"phase": "Pending"}), {"metadata": {"resourceVersion": "8"}})
    first = reader.read_finetunejob(finetunejob())

    second = reader.read_finetunejob(later)

    assert second.status.phase == "Pending"
    assert second.spec is first.spec


@pytest.mark.thorough
def test_of_a_thousand_jobs_that_run_no_spec_is_read_again() -> None:
    reader = profiles()
    jobs = [merged(finetunejob(), {"metadata": {"uid": f"uid-{number}"}}) for number in range(1000)]
    first = [reader.read_finetunejob(raw).spec for raw in jobs]

    again = [reader.read_finetunejob(merged(raw, {"metadata": {"resourceVersion": "8"}})).spec for raw in jobs]

    assert all(one is other for one, other in zip(first, again, strict=True))


def test_a_job_that_loses_its_profile_is_read_as_its_user_wrote_it_however_many_were_read_since() -> None:
    reader = profiles()
    given = FineTuneProfileSpec.model_validate({"defaults": {"resources": {"cpu": "8"}}})
    first = reader.read_finetunejob(finetunejob(settled(given))).spec
    for number in range(200):
        reader.read_finetunejob(merged(finetunejob(), {"metadata": {"uid": f"uid-{number}"}}))

    again = reader.read_finetunejob(merged(finetunejob(settled(given)), {"metadata": {"resourceVersion": "8"}})).spec
    without = reader.read_finetunejob(merged(finetunejob({}), {"metadata": {"resourceVersion": "9"}}))

    assert first is not None
    assert without.spec is not None
    assert again is first
    assert (first.resources.cpu, without.spec.resources.cpu, without.problems) == ("8", None, "")


def test_another_spec_is_read_anew() -> None:
    reader, changed = profiles(), {"metadata": {"resourceVersion": "8", "generation": 2}, "spec": {"suspend": True}}
    reader.read_finetunejob(finetunejob())

    spec = reader.read_finetunejob(merged(finetunejob(), changed)).spec

    assert spec is not None
    assert spec.suspend
