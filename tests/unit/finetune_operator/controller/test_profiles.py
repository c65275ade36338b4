"""A pass gives a job its profile before it makes anything, once, and keeps to it."""

import asyncio
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.settling import made_job, pass_of, profile, profiles_of
from tests.unit.finetune_operator.controller.world import KEY, OWNED, World
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.samples import (
    finetunejob,
    job,
    merged,
    reason_of,
    settled,
)
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.kube.client import FINETUNEJOBS, JOBS, NAMESPACES, PROFILES, Kind


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
    reader = profiles_of(api)

    assert run_in_virtual_time(program()) == ({TimeoutError}, 10)
    assert api.requests == ["get namespaces"] * 100
