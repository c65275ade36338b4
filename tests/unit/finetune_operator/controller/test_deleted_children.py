"""What somebody deletes under a running Job comes back as the Job's pods expect it, or the Job is made anew."""

from typing import Any, cast

import pytest
from tests.unit.finetune_operator.controller.world import OWNED_POD, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.samples import finetunejob, member, merged, pod, settled

from finetune_operator.job.names import AUTHORITY, ISOLATION, preflight_job_name
from finetune_operator.kube.client import CONFIG_MAPS, FINETUNEJOBS, JOBS, NETWORK_POLICIES, PODS, SECRETS, Kube
from finetune_operator.manifests.run_file import mounted_config_map


async def become_older(world: World, name: str) -> None:
    """The Job of this name is one of an older operator, which mounts a ConfigMap of the run; a pod of it does not start."""
    await world.see()
    await world.reconcile()
    made = world.api.objects[JOBS.plural, name]
    (config,) = (each for each in made["spec"]["template"]["spec"]["volumes"] if each["name"] == "config")
    items = [{"key": "run.yaml", "path": "run.yaml"}]
    config["projected"]["sources"][0] = {"configMap": {"name": "yelp-run", "items": items}}
    world.api.put(JOBS, made)
    uid = made["metadata"]["uid"]
    owner = {**OWNED_POD["metadata"]["ownerReferences"][0], "name": name, "uid": uid}
    world.api.put(PODS, merged(pod(), {"metadata": {**OWNED_POD["metadata"], "ownerReferences": [owner]}}))
    await world.see()


def about_the_run(world: World) -> list[str]:
    return [each for each in world.api.requests if each in ("create jobs", "delete jobs", "create configmaps")]


@pytest.mark.parametrize("spec", [{}, {"runPolicy": {"preflight": "pod"}}], ids=["training", "preflight"])
async def test_a_job_of_an_older_operator_that_has_lost_its_config_map_goes_after_its_pods_and_is_made_anew(
    world: World, spec: dict[str, Any]
) -> None:
    name = preflight_job_name("yelp") if spec else "yelp"
    world.edit(**spec)
    await become_older(world, name)

    await world.reconcile()
    gone = about_the_run(world)
    await world.see()
    await world.reconcile()
    meanwhile = about_the_run(world)
    del world.api.objects[JOBS.plural, name], world.api.objects[PODS.plural, "yelp-1"]
    world.time += 60
    await world.see()
    await world.reconcile()

    assert (gone, meanwhile, about_the_run(world)) == (["delete jobs"], [], ["create jobs"])
    assert mounted_config_map(world.api.objects[JOBS.plural, name]) is None


async def test_a_job_of_an_older_operator_that_has_its_config_map_is_left_alone(world: World) -> None:
    world.api.put(CONFIG_MAPS, {"metadata": {"name": "yelp-run"}, "data": {"run.yaml": "{}"}})
    await become_older(world, "yelp")

    await world.reconcile()

    assert about_the_run(world) == []
    assert mounted_config_map(world.api.objects[JOBS.plural, "yelp"]) == "yelp-run"


async def test_the_authority_that_somebody_deleted_as_a_job_began_comes_back_for_its_pod(world: World) -> None:
    await world.see()
    await world.reconcile()
    made = world.api.put(JOBS, world.api.objects[JOBS.plural, "yelp"])
    del world.api.objects[CONFIG_MAPS.plural, AUTHORITY]
    owner = {**OWNED_POD["metadata"]["ownerReferences"][0], "uid": made["metadata"]["uid"]}
    world.api.put(PODS, merged(pod(), {"metadata": {**OWNED_POD["metadata"], "ownerReferences": [owner]}}))
    world.time += 10
    await world.see()

    await world.reconcile()

    assert (CONFIG_MAPS.plural, AUTHORITY) in world.api.objects


@pytest.mark.parametrize("refused", [None, refusal(403, "exceeded quota: secrets")])
async def test_the_secret_of_a_run_comes_back_under_the_name_that_its_pods_mount(world: World, refused: Any) -> None:
    world.edit(resources={"nodes": 2})
    await world.see()
    await world.reconcile()
    made = world.api.put(JOBS, world.api.objects[JOBS.plural, "yelp"])
    (name,) = (name for plural, name in world.api.objects if plural == SECRETS.plural)
    first = world.api.objects.pop((SECRETS.plural, name))
    owner = {**OWNED_POD["metadata"]["ownerReferences"][0], "uid": made["metadata"]["uid"]}
    world.api.put(PODS, merged(member(0), {"metadata": {**OWNED_POD["metadata"], "ownerReferences": [owner]}}))
    await world.see()
    world.api.failures |= {"create secrets": refused} if refused else {}

    await world.reconcile()
    await world.reconcile()

    assert world.api.requests.count("create secrets") == 1
    again = world.api.objects.get((SECRETS.plural, name))
    assert (again is None) == (refused is not None)
    if again is not None:
        assert again["stringData"] != first["stringData"]
        assert again["metadata"]["ownerReferences"] == first["metadata"]["ownerReferences"]


async def test_a_job_of_a_namespace_that_was_deleted_and_made_anew_gets_all_that_its_jobs_share(world: World) -> None:
    await world.see()
    await world.reconcile()
    old = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    world.api.objects.clear()
    world.finetunejobs.gone(old)
    world.api.put(FINETUNEJOBS, merged(finetunejob(settled()), {"metadata": {"uid": "another", "name": "yelp"}}))
    world.time += 10
    await world.see()

    await world.reconcile()
    await world.reconcile()

    shared = {(CONFIG_MAPS.plural, AUTHORITY), (NETWORK_POLICIES.plural, ISOLATION)}
    assert {*shared, (JOBS.plural, "yelp")} <= world.api.objects.keys()


@pytest.mark.parametrize("by_list", [False, True])
async def test_a_namespace_that_was_made_anew_unseen_has_what_its_jobs_share(world: World, *, by_list: bool) -> None:
    await world.see()
    await world.reconcile()
    if by_list:
        world.finetunejobs.update(merged(finetunejob(), {"metadata": {"uid": "gone-too", "name": "other"}}))
        world.finetunejobs.gone(world.api.objects[FINETUNEJOBS.plural, "yelp"])
    world.api.objects.clear()
    anew = {"uid": "another", "name": "yelp", "resourceVersion": "900"}
    world.api.put(FINETUNEJOBS, merged(finetunejob(settled()), {"metadata": anew}))
    world.time += 10
    if by_list:
        await world.finetunejobs.list(cast(Kube, world.api), "team-a")
    else:
        world.finetunejobs.seen(world.api.objects[FINETUNEJOBS.plural, "yelp"])

    await world.reconcile()
    await world.reconcile()

    shared = {(CONFIG_MAPS.plural, AUTHORITY), (NETWORK_POLICIES.plural, ISOLATION)}
    assert {*shared, (JOBS.plural, "yelp")} <= world.api.objects.keys()
