"""A new `spec.runToken` runs the job anew, after all of the former run has ended. Nothing else ever does."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.samples import (
    LABELS,
    OWNERS,
    finetunejob,
    job,
    line,
    merged,
    pod,
    run_file_of,
    running,
    settled,
    stamp,
    terminated,
)

from finetune_operator.job.names import AUTHORITY, ISOLATION, child_names, job_name
from finetune_operator.kube.client import (
    CONFIG_MAPS,
    EVENTS,
    FINETUNEJOBS,
    JOBS,
    NETWORK_POLICIES,
    PODS,
    PROFILES,
    PVCS,
    SECRETS,
    SERVICES,
)

FIRST, SECOND = child_names("yelp", OWNERS[0]["uid"]), child_names("yelp", OWNERS[0]["uid"], 2)
FIRST_RUN = {"number": 1, "output": "pvc://yelp-0f9be1d4"}
STOPPED = {
    "number": 1,
    "phase": "Running",
    "reason": "Training",
    "message": "epoch 1.0 of 3",
    "startTime": stamp(1),
    "attempts": 2,
    "step": 125,
    "output": "pvc://yelp-0f9be1d4",
}


def status_of_first(**others: Any) -> dict[str, Any]:
    """The status of a first run that trains in its second attempt."""
    return {
        **settled(),
        "observedGeneration": 1,
        "phase": "Running",
        "message": "epoch 1.0 of 3",
        "conditions": [{"type": "Ready", "status": "False", "reason": "Training", "lastTransitionTime": stamp(20)}],
        "startTime": stamp(1),
        "progress": {"step": 125, "percent": 33},
        "metrics": [{"name": "loss", "value": "1.2"}],
        "latestCheckpoint": {"step": 125, "uri": "pvc://yelp-0f9be1d4/checkpoints/step-000125"},
        "attempts": [{"number": n, "pod": f"yelp-{n}", "startTime": stamp(12 * n)} for n in (1, 2)],
        "run": FIRST_RUN,
        **others,
    }


ENDED = {"phase": "Succeeded", "completionTime": stamp(100)}


def put_first_run(world: World, status: dict[str, Any], *pods: dict[str, Any], **spec: Any) -> None:
    """The first run: the job, its children, and these pods of it."""
    world.api.put(FINETUNEJOBS, finetunejob(status, **spec))
    world.api.put(JOBS, merged(job(), OWNED))
    for raw in pods:
        world.api.put(PODS, merged(raw, OWNED_POD))
    world.api.put(PVCS, {"metadata": {"namespace": "team-a", "name": FIRST.claim, **OWNED["metadata"]}})


async def passes(world: World, count: int = 1) -> list[str]:
    """Let all caches come up to date and run a pass, so many times. Return what was asked for."""
    asked = []
    for _ in range(count):
        await world.see()
        await world.reconcile()
        asked += world.api.requests
        world.time += 60
    return asked


def made(world: World) -> set[tuple[str, str]]:
    """Plural and name of all children that are there."""
    return {place for place in world.api.objects if place[0] not in (FINETUNEJOBS.plural, PODS.plural, EVENTS.plural)}


async def test_a_running_job_is_ended_first_and_summed_up(world: World) -> None:
    put_first_run(world, status_of_first(), pod(2, state=running()))
    world.edit(runToken="2", training={"epochs": 5})

    asked = await passes(world, 3)
    status = world.status()

    assert "delete jobs" in asked
    assert {request for request in asked if request.startswith("create")} == {"create events"}
    assert line(status) == (
        "Pending",
        "EndingFormerRun",
        "run 2 begins when all of run 1 has ended: the pod yelp-2 saves and stops",
    )
    (summary,) = status["previousRuns"]
    assert {**summary, "endTime": None} == {**STOPPED, "endTime": None}
    begun = summary["endTime"]
    assert status["run"] == {"number": 2, "token": "2", "beginTime": begun, "output": "pvc://yelp-0f9be1d4/runs/2"}
    assert status.keys() == {"observedGeneration", "phase", "message", "conditions", "run", "previousRuns", "usage"}


async def test_the_next_run_has_its_own_children_and_folder_once_the_former_has_ended(world: World) -> None:
    put_first_run(world, status_of_first(**ENDED), pod(2, state=terminated(0), phase="Succeeded"))
    world.edit(runToken="2", training={"epochs": 5})

    await passes(world, 5)
    job_of_second = world.api.objects[JOBS.plural, SECOND.job]

    assert made(world) == {
        (CONFIG_MAPS.plural, AUTHORITY),
        (NETWORK_POLICIES.plural, ISOLATION),
        (JOBS.plural, SECOND.job),
        (PVCS.plural, FIRST.claim),
    }
    assert job_of_second["metadata"]["labels"] == {**LABELS, "finetune.dev/run": "2"}
    assert '"epochs": 5.0' in run_file_of(job_of_second)
    assert '"pvc://yelp-0f9be1d4/runs/2"' in run_file_of(job_of_second)
    assert world.status()["message"] == "waiting for a pod"
    assert await passes(world, 2) == []


async def test_what_the_new_run_reports_is_not_mixed_with_the_former(world: World) -> None:
    put_first_run(world, status_of_first(**ENDED), pod(2, state=terminated(0), phase="Succeeded"))
    world.edit(runToken="2")
    await passes(world, 5)
    of_second = merged(OWNED_POD, {"metadata": {"labels": {"finetune.dev/run": "2"}}})
    of_second["metadata"]["ownerReferences"] = [{**OWNED_POD["metadata"]["ownerReferences"][0], "name": SECOND.job}]
    of_second["metadata"]["ownerReferences"][0]["uid"] = world.api.objects[JOBS.plural, SECOND.job]["metadata"]["uid"]
    world.api.put(PODS, merged(pod(3, state=running()), of_second))

    await passes(world)
    status = world.status()

    assert [(each["number"], each["pod"]) for each in status["attempts"]] == [(1, "yelp-3")]
    assert status.keys() & {"metrics", "latestCheckpoint", "completionTime", "failure"} == set()


async def test_the_profile_is_looked_up_anew(world: World) -> None:
    world.api.put(PROFILES, {"metadata": {"name": "default", "generation": 4}, "spec": {"defaults": {"tmp": "7Gi"}}})
    put_first_run(world, status_of_first(**ENDED))
    world.edit(runToken="2")

    await passes(world, 5)

    volumes = world.api.objects[JOBS.plural, SECOND.job]["spec"]["template"]["spec"]["volumes"]
    assert world.status()["profile"]["generation"] == 4
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "7Gi"}} in volumes


async def test_a_run_that_its_profile_does_not_allow_does_not_begin(world: World) -> None:
    world.api.put(PROFILES, {"metadata": {"name": "default"}, "spec": {"limits": {"gpus": 1}}})
    put_first_run(world, status_of_first(**ENDED))
    world.edit(runToken="2", resources={"gpus": 8})

    await passes(world, 5)

    assert (world.status()["phase"], world.status()["failure"]["reason"]) == ("Failed", "PolicyViolation")
    assert (JOBS.plural, SECOND.job) not in world.api.objects


async def test_the_pods_of_the_next_run_prove_another_secret(world: World) -> None:
    put_first_run(world, status_of_first(**ENDED), resources={"nodes": 2})
    for kind, name in ((SERVICES, FIRST.service), (NETWORK_POLICIES, FIRST.job)):
        world.api.put(kind, {"metadata": {"namespace": "team-a", "name": name, **OWNED["metadata"]}})
    world.edit(runToken="2")

    await passes(world, 5)

    (secret,) = (name for plural, name in made(world) if plural == SECRETS.plural)
    pod_spec = world.api.objects[JOBS.plural, SECOND.job]["spec"]["template"]["spec"]
    assert {"secretName": secret, "defaultMode": 0o440} in [each.get("secret") for each in pod_spec["volumes"]]
    assert pod_spec["subdomain"] == SECOND.service
    assert {name for plural, name in made(world) if plural == SERVICES.plural} == {SECOND.service}
    policies = {name for plural, name in made(world) if plural == NETWORK_POLICIES.plural}
    assert policies == {ISOLATION, SECOND.job}


async def test_what_the_job_has_used_is_kept_without_the_time_between_its_runs(world: World) -> None:
    used = {"gpuSeconds": {"total": 60, "useful": 50, "lost": 10}, "podSeconds": 60, "queuedSeconds": 5}
    put_first_run(world, status_of_first(**ENDED, usage={**used, "until": stamp(100)}))
    world.edit(runToken="2")

    await passes(world, 5)
    kept = world.status()["usage"]

    assert (kept["gpuSeconds"], kept["podSeconds"]) == (used["gpuSeconds"], 60)
    assert kept["queuedSeconds"] < 60


async def test_a_suspended_job_stays_suspended_in_its_next_run(world: World) -> None:
    put_first_run(world, status_of_first(phase="Suspended"), suspend=True)
    world.edit(runToken="2")

    await passes(world, 5)

    assert world.api.objects[JOBS.plural, SECOND.job]["spec"]["suspend"] is True
    assert world.status()["phase"] == "Suspended"


async def test_an_output_that_the_user_named_gets_a_folder_that_no_other_job_has(world: World) -> None:
    put_first_run(world, status_of_first(**ENDED), output={"uri": "s3://models/yelp/"})
    world.edit(runToken="2")

    await passes(world, 5)

    assert world.status()["run"]["output"] == "s3://models/yelp/runs/2-0f9be1d4"


async def test_a_third_run_follows_the_second(world: World) -> None:
    put_first_run(world, status_of_first(**ENDED))
    world.edit(runToken="2")
    await passes(world, 5)
    world.edit(runToken="1")

    await passes(world, 5)

    assert {name for plural, name in made(world) if plural == JOBS.plural} == {job_name("yelp", 3)}
    assert [(each["number"], each.get("token")) for each in world.status()["previousRuns"]] == [(1, None), (2, "2")]


async def test_of_many_runs_the_newest_five_are_summed_up(world: World) -> None:
    runs = [{"number": number, "phase": "Failed"} for number in range(1, 6)]
    status = status_of_first(**ENDED, run={"number": 6, "token": "6"}, previousRuns=runs)
    world.api.put(FINETUNEJOBS, finetunejob(status, runToken="7"))

    await passes(world)

    assert [each["number"] for each in world.status()["previousRuns"]] == [2, 3, 4, 5, 6]


async def test_a_job_that_has_not_begun_only_takes_the_other_token(world: World) -> None:
    world.api.put(FINETUNEJOBS, finetunejob(None, profile="missing", runToken="1"))
    await passes(world)
    assert world.status()["run"] == {"number": 1, "token": "1", "output": "pvc://yelp-0f9be1d4"}
    world.edit(runToken="2", profile=None)

    await passes(world, 4)

    assert world.status()["run"] == {"number": 1, "token": "2", "output": "pvc://yelp-0f9be1d4"}
    assert "previousRuns" not in world.status()
    assert (JOBS.plural, "yelp") in world.api.objects


@pytest.mark.parametrize("labelled", [{}, {"labels": {"finetune.dev/run": "1"}}], ids=["no label", "its label"])
async def test_a_former_run_that_no_cache_shows_is_found(world: World, labelled: dict[str, Any]) -> None:
    put_first_run(world, {"phase": "Pending", "run": {"number": 2, "token": "2"}}, runToken="2")
    world.api.put(PODS, merged(merged(pod(2, state=running()), OWNED_POD), {"metadata": labelled}))
    await world.see_finetunejobs()

    again = await world.reconcile()

    assert "delete jobs" in world.api.requests
    assert "the pod yelp-2 saves and stops" in world.status()["message"]
    assert (JOBS.plural, SECOND.job) not in world.api.objects
    assert again is not None


async def test_a_former_run_of_a_job_that_is_deleted_meanwhile_is_ended_whatever_keeps_the_object(
    world: World,
) -> None:
    put_first_run(
        world, {"phase": "Pending", "run": {"number": 2, "token": "2"}}, pod(2, state=running()), runToken="2"
    )
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
    await world.see()

    again = await world.reconcile()

    assert "delete jobs" in world.api.requests
    assert "create jobs" not in world.api.requests
    assert (line(world.status())[:2], again) == (("Pending", "JobDeleted"), 10)


async def test_a_job_of_another_is_not_ended(world: World) -> None:
    put_first_run(world, {"phase": "Pending", "run": {"number": 2, "token": "2"}}, runToken="2")
    foreign = world.api.put(JOBS, merged(job(), {"metadata": {"labels": {"finetune.dev/job-uid": OWNERS[0]["uid"]}}}))

    await passes(world, 3)

    assert world.api.objects[JOBS.plural, "yelp"] == foreign
    assert (JOBS.plural, SECOND.job) in world.api.objects


async def test_a_conflict_lets_the_next_pass_look_again(world: World) -> None:
    put_first_run(world, status_of_first(**ENDED))
    world.edit(runToken="2")
    await world.see()
    world.api.failures["replace status of finetunejobs"] = refusal(409, "changed")
    await world.reconcile()
    before = world.status()["run"]
    world.api.failures.clear()

    await passes(world, 5)

    assert (before, world.status()["run"]["number"]) == (FIRST_RUN, 2)


NOTHING_NEW: dict[str, dict[str, Any]] = {
    "no token": {},
    "the token of the run": {"runToken": "1"},
    "another deadline": {"runPolicy": {"activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 0}},
    "suspended after its end": {"suspend": True},
}


@pytest.mark.parametrize("change", NOTHING_NEW.values(), ids=NOTHING_NEW)
@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_nothing_else_runs_a_job_again(world: World, change: dict[str, Any], phase: str) -> None:
    """Not a spec that is applied again, a restart of the operator, or children that are gone."""
    token = {"runToken": change["runToken"]} if "runToken" in change else {}
    run = {**FIRST_RUN, **({"token": "1"} if token else {})}
    world.api.put(FINETUNEJOBS, finetunejob(status_of_first(**ENDED | {"phase": phase}, run=run), **token))
    world.edit(**change)

    await passes(world, 3)

    assert made(world) == set()
    assert (world.status()["phase"], world.status()["run"]) == (phase, run)


async def test_a_token_that_is_newer_than_an_older_operators_last_look_asks_for_a_run(world: World) -> None:
    status = {name: value for name, value in status_of_first(**ENDED).items() if name != "run"}
    world.api.put(FINETUNEJOBS, finetunejob(status))
    world.edit(runToken="2")

    await passes(world)

    assert {**world.status()["run"], "beginTime": None} == {"number": 2, "token": "2", "beginTime": None}


async def test_a_token_that_an_older_operator_has_seen_does_not(world: World) -> None:
    status = {name: value for name, value in status_of_first(**ENDED).items() if name != "run"}
    world.api.put(FINETUNEJOBS, finetunejob(status, runToken="2"))

    await passes(world, 2)

    assert made(world) == set()
    assert world.status()["phase"] == "Succeeded"
