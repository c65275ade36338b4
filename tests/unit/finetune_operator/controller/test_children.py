"""The children of a job are made once, and nothing that another made is taken for one."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import (
    OWNED,
    OWNED_POD,
    QUOTA,
    WITH_CACHE,
    World,
    running_job,
)
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.samples import (
    UID,
    finetunejob,
    job,
    member,
    merged,
    pod,
    reason_of,
    received,
    running,
    settled,
    terminated,
)
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.controller.children.shared import SharedObjects
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import AUTHORITY, ISOLATION, LABEL_SHARED, cache_claim_name
from finetune_operator.kube.client import (
    CONFIG_MAPS,
    FINETUNEJOBS,
    JOBS,
    NETWORK_POLICIES,
    PODS,
    PVCS,
    SECRETS,
    SERVICES,
    Kind,
)
from finetune_operator.manifests.authority import build_authority


async def test_what_a_namespace_shares_is_made_by_the_first_of_its_jobs_and_costs_the_others_nothing(
    world: World,
) -> None:
    keys = [Key("team-a", f"job-{number}") for number in range(3)]
    for key in keys:
        own = {"metadata": {"uid": f"uid-of-{key.name}"}}
        world.api.put(FINETUNEJOBS, merged(finetunejob(settled(), name=key.name), own))
    await world.see()

    await asyncio.gather(*(world.reconciler.reconcile(key) for key in keys))

    counts = Counter(world.api.requests)
    assert counts["create networkpolicies"] == 1
    assert (counts["create configmaps"], counts["create jobs"]) == (1, len(keys))
    assert counts["get configmaps"] + counts["get networkpolicies"] == 2


def test_jobs_that_begin_where_what_they_share_cannot_be_looked_up_wait_for_one_request() -> None:
    class AwayApi(FakeApi):
        async def get(self, kind: Kind, *arguments: Any, **others: Any) -> Any:
            self.requests.append(f"get {kind.plural}")
            await asyncio.sleep(30)
            raise TimeoutError

    async def program() -> tuple[set[type], float]:
        shared = SharedObjects(api)
        tries = (shared.make_missing("team-a", [authority], known_for=60) for _ in range(100))
        failures = await asyncio.gather(*tries, return_exceptions=True)
        return {type(each) for each in failures}, asyncio.get_running_loop().time()

    api, authority = AwayApi(), (CONFIG_MAPS, build_authority("team-a", "PEM"))

    assert run_in_virtual_time(program()) == ({TimeoutError}, 30)
    assert api.requests == ["get configmaps"]


async def test_a_config_map_of_somebody_else_in_the_authority_s_place_is_mounted_into_no_pod(world: World) -> None:
    world.api.put(CONFIG_MAPS, {"metadata": {"name": AUTHORITY}, "data": {"ca.crt": "theirs"}})
    await world.see()

    await world.reconcile()

    assert (JOBS.plural, "yelp") not in world.api.objects
    assert world.api.objects[CONFIG_MAPS.plural, AUTHORITY]["data"] == {"ca.crt": "theirs"}
    assert f"the ConfigMap {AUTHORITY}" in world.status()["message"]


async def test_a_config_map_that_somebody_made_immutable_in_the_authority_s_place_ends_no_job(world: World) -> None:
    labels = {"app.kubernetes.io/managed-by": "finetune-operator", LABEL_SHARED: "true"}
    theirs = {"metadata": {"name": AUTHORITY, "labels": labels}, "immutable": True, "data": {"ca.crt": "theirs"}}
    world.api.put(CONFIG_MAPS, theirs)
    world.api.failures["apply configmaps"] = refusal(422, "data: Forbidden: field is immutable when `immutable` is set")
    await world.see()

    await world.reconcile()

    assert (JOBS.plural, "yelp") not in world.api.objects
    assert (world.status()["phase"], reason_of(world.status())) == ("Pending", "ConfigChanged")
    assert f"the ConfigMap {AUTHORITY} holds something else" in world.status()["message"]


@pytest.mark.parametrize(
    ("status", "why"),
    [(403, "no"), (422, f"the ConfigMap {AUTHORITY} holds something else than this FineTuneJob asks for")],
)
async def test_an_authority_that_cannot_be_renewed_keeps_no_status_from_being_written(
    world: World, status: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_job(world):
        world.ca = "PEM of old and new"
        world.api.failures["apply configmaps"] = refusal(status, "no")
        world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
        await world.see()

        await world.reconcile()

    assert world.status()["phase"] == "Preparing"
    assert f"team-a/yelp: its pods may not reach the report endpoint: {why}" in caplog.text


@pytest.mark.parametrize("status", [403, 422])
async def test_an_authority_that_cannot_be_renewed_is_tried_again_once_a_minute(world: World, status: int) -> None:
    async with running_job(world):
        world.ca = "PEM of old and new"
        world.api.failures["apply configmaps"] = refusal(status, "no")
        for _ in range(10):
            await world.reconcile()
        tries = world.api.requests.count("apply configmaps")
        world.api.failures.clear()
        world.time += 61
        await world.reconcile()

    assert tries == 1
    assert world.api.objects[CONFIG_MAPS.plural, AUTHORITY]["data"] == {"ca.crt": "PEM of old and new"}


async def test_the_service_of_a_job_of_many_pods_is_there_before_they_are(world: World) -> None:
    world.edit(resources={"nodes": 2})
    await world.see()

    await world.reconcile()

    assert [each for each in world.api.requests if "create" in each][3:] == [
        f"create {kind.plural}" for kind in (NETWORK_POLICIES, PVCS, SERVICES, JOBS)
    ]
    assert world.status()["message"] == "0 of 2 pods run; waiting for a pod"


async def test_the_pods_of_a_run_prove_a_secret_that_is_made_once_and_named_by_their_job_alone(world: World) -> None:
    world.edit(resources={"nodes": 2})
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    world.api.failures.clear()
    world.time += 30
    await world.reconcile()

    ((name, secret),) = [(name, raw) for (plural, name), raw in world.api.objects.items() if plural == SECRETS.plural]
    pod_spec = world.api.objects[JOBS.plural, "yelp"]["spec"]["template"]["spec"]
    assert {"secretName": name, "defaultMode": 0o440} in [each.get("secret") for each in pod_spec["volumes"]]
    assert secret["metadata"]["ownerReferences"][0]["uid"] == UID
    assert secret["immutable"] is True
    others = json.dumps([raw for (plural, _), raw in world.api.objects.items() if plural != SECRETS.plural])
    assert secret["stringData"]["secret"] not in others
    assert len(secret["stringData"]["secret"]) >= 43


async def test_a_job_that_the_cache_does_not_know_yet_is_not_made_twice(world: World) -> None:
    await world.see()
    world.api.put(JOBS, merged(job(), OWNED))

    known = world.api.objects[JOBS.plural, "yelp"]["metadata"]["resourceVersion"]

    await world.reconcile()

    assert world.api.requests[-3:] == ["create jobs", "get jobs", "replace status of finetunejobs"]
    assert world.api.objects[JOBS.plural, "yelp"]["metadata"]["resourceVersion"] == known
    assert reason_of(world.status()) == "WaitingForPod"


async def test_a_job_of_somebody_else_is_neither_adopted_nor_touched(world: World) -> None:
    foreign = world.api.put(JOBS, job())
    await world.see()

    again = await world.reconcile()

    assert world.api.requests[-4:] == ["create jobs", "get jobs", "replace status of finetunejobs", "create events"]
    assert world.api.objects[JOBS.plural, "yelp"] == foreign
    assert reason_of(world.status()) == "NameConflict"
    assert again is not None


async def test_a_service_that_comes_between_is_not_overwritten(world: World) -> None:
    world.edit(resources={"nodes": 2})
    world.api.put(SERVICES, {"metadata": {"name": "ft-yelp"}, "spec": {"mine": "1"}})
    await world.see()

    await world.reconcile()

    assert world.api.objects[SERVICES.plural, "ft-yelp"]["spec"] == {"mine": "1"}
    assert (JOBS.plural, "yelp") not in world.api.objects
    assert "the Service ft-yelp" in world.status()["message"]


OLD_SERVICE = {"metadata": {"name": "ft-yelp", **OWNED["metadata"]}, "spec": {"selector": {"old": "1"}}}
"""As an operator of before might have written it, or somebody who names our owner."""


async def test_a_child_that_holds_something_else_is_made_anew_before_a_job_runs_by_it(world: World) -> None:
    world.edit(resources={"nodes": 2})
    world.api.put(SERVICES, OLD_SERVICE)
    await world.see()

    await world.reconcile()

    assert world.api.objects[SERVICES.plural, "ft-yelp"]["spec"]["selector"] == {LABEL_JOB_UID: UID}
    assert (JOBS.plural, "yelp") in world.api.objects


@pytest.mark.parametrize("its_end", [None, ("Complete", "", "")])
async def test_a_service_by_which_a_job_runs_that_is_not_seen_yet_is_left_alone(world: World, its_end: Any) -> None:
    world.edit(resources={"nodes": 2})
    world.api.put(SERVICES, OLD_SERVICE)
    await world.see()
    world.api.put(JOBS, merged(job(end=its_end), OWNED))

    await world.reconcile()
    reason = reason_of(world.status())
    await world.see()
    await world.reconcile()

    assert world.api.objects[SERVICES.plural, "ft-yelp"]["spec"] == OLD_SERVICE["spec"]
    assert "delete services" not in world.api.requests
    assert (reason, world.status()["phase"]) == ("ConfigChanged", "Succeeded" if its_end else "Pending")


async def test_a_service_that_somebody_makes_again_and_again_is_not_run_by(world: World) -> None:
    world.edit(resources={"nodes": 2})
    world.api.put(SERVICES, OLD_SERVICE)
    await world.see()
    delete = world.api.delete

    async def make_again(*given: Any) -> None:
        await delete(*given)
        world.api.put(SERVICES, {**OLD_SERVICE, "spec": {"selector": {"again": "1"}}})

    world.api.delete = make_again  # type: ignore[method-assign, assignment]

    await world.reconcile()

    assert (JOBS.plural, "yelp") not in world.api.objects
    assert reason_of(world.status()) == "ConfigChanged"
    assert "the Service ft-yelp holds something else" in world.status()["message"]


async def test_a_claim_that_is_there_from_before_is_used_again(world: World) -> None:
    world.api.put(PVCS, {"metadata": {"name": "yelp-0f9be1d4", "labels": {LABEL_JOB_UID: UID}}})
    await world.see()

    await world.reconcile()

    assert (JOBS.plural, "yelp") in world.api.objects


async def test_the_jobs_of_a_namespace_share_one_claim_that_belongs_to_none_of_them(world: World) -> None:
    world.api.put(FINETUNEJOBS, finetunejob(settled(WITH_CACHE)))
    await world.see()

    await world.reconcile()

    shared = [name for kind, name in world.api.objects if kind == PVCS.plural and name.startswith("finetune-cache-")]
    assert len(shared) == 1
    assert "ownerReferences" not in world.api.objects[PVCS.plural, shared[0]]["metadata"]
    pod_spec = world.api.objects[JOBS.plural, "yelp"]["spec"]["template"]["spec"]
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": shared[0]}} in pod_spec["volumes"]


async def test_a_claim_of_the_cache_s_name_that_another_made_is_mounted_into_no_job(world: World) -> None:
    name = cache_claim_name("500Gi", None)
    world.api.put(FINETUNEJOBS, finetunejob(settled(WITH_CACHE)))
    world.api.put(PVCS, {"metadata": {"name": name}})
    await world.see()

    await world.reconcile()

    assert (JOBS.plural, "yelp") not in world.api.objects
    assert f"the PersistentVolumeClaim {name}" in world.status()["message"]


async def test_a_job_that_was_deleted_in_the_middle_is_made_again(world: World) -> None:
    async with running_job(world):
        del world.api.objects[JOBS.plural, "yelp"], world.api.objects[PODS.plural, "yelp-1"]
        await world.see()

        await world.reconcile()

    assert "create jobs" in world.api.requests


async def test_a_pod_that_only_bears_our_label_is_no_attempt(world: World) -> None:
    async with running_job(world):
        world.api.put(PODS, merged(pod(2, state=running()), {"metadata": {"labels": {LABEL_JOB_UID: UID}}}))
        await world.see()

        await world.reconcile()

    assert [attempt["pod"] for attempt in world.status()["attempts"]] == ["yelp-1"]


async def test_a_new_authority_reaches_all_pods_of_the_namespace_in_one_config_map(world: World) -> None:
    async with running_job(world):
        world.ca = "PEM of old and new"

        await world.reconcile()
        await world.reconcile()

    assert world.api.objects[CONFIG_MAPS.plural, AUTHORITY]["data"] == {"ca.crt": "PEM of old and new"}
    assert world.api.requests.count("apply configmaps") == 1


async def test_what_a_new_pod_needs_and_somebody_deleted_is_made_again_once(world: World) -> None:
    world.edit(resources={"nodes": 2})
    await world.see()
    await world.reconcile()
    world.api.put(JOBS, merged(world.api.objects[JOBS.plural, "yelp"], {"metadata": {"uid": "job-uid"}}))
    world.api.put(PODS, merged(member(0, state=terminated(17)), OWNED_POD))
    await world.see()
    await world.reconcile()
    for kind, name in ((NETWORK_POLICIES, "yelp"), (SERVICES, "ft-yelp")):
        del world.api.objects[kind.plural, name]
    del world.api.objects[CONFIG_MAPS.plural, AUTHORITY], world.api.objects[NETWORK_POLICIES.plural, ISOLATION]
    world.time += 61
    world.api.put(PODS, merged(member(0, 2), OWNED_POD))
    await world.see()

    await world.reconcile()
    await world.reconcile()

    assert [each for each in world.api.requests if "s of " not in each and " events" not in each] == [
        *("get configmaps", "create configmaps", "get networkpolicies", "create networkpolicies"),  # the namespace's
        *("get jobs", "get networkpolicies", "create networkpolicies"),  # the job's
        *("get services", "create services", "create secrets"),
    ]


@pytest.mark.parametrize("status", [403, 422])
async def test_what_a_pod_needs_and_may_not_be_made_again_is_named_and_tried_again(world: World, status: int) -> None:
    world.edit(resources={"nodes": 2})
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(member(0, state={"waiting": {"reason": "ContainerCreating"}}), OWNED_POD))
    world.api.failures["create services"] = refusal(status, "exceeded quota: count/services=1")
    world.time += 61
    await world.see()

    again = await world.reconcile()
    refused = world.status()
    world.api.failures.clear()
    world.time += 61
    await world.reconcile()

    assert reason_of(refused) == "CreateForbidden"
    assert refused["message"] == "0 of 2 pods run; pod 0: exceeded quota: count/services=1"
    assert again is not None
    assert "create services" in world.api.requests
    assert (SERVICES.plural, "ft-yelp") in world.api.objects


async def test_a_pod_that_names_another_job_or_another_owner_is_no_attempt(world: World) -> None:
    """It may have our label and our Job's name, and a final report of its own making."""
    word = json.dumps({"exitCode": 0, "metrics": [{"name": "loss", "value": "0"}]})
    ours = OWNED_POD["metadata"]["ownerReferences"][0]
    world.api.put(JOBS, merged(job(), OWNED))
    for number, forged in enumerate([{"uid": "other"}, {"apiVersion": "batch/v9"}, {"kind": "Other"}, {"name": "x"}]):
        owner = {"metadata": {"ownerReferences": [{**ours, **forged}]}}
        raw = merged(merged(pod(number + 1, state=terminated(0, "Completed", word)), OWNED_POD), owner)
        world.api.put(PODS, raw)
        world.finetunejobs.take_report(received({"report": {"sequence": 1, "stage": "Training"}}, number + 1))
    await world.see()

    await world.reconcile()

    assert world.status().keys() & {"attempts", "metrics", "progress"} == set()
    assert world.status()["phase"] == "Pending"
