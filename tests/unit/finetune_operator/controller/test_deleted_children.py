"""What somebody deletes under a running Job comes back as the Job's pods expect it, or the Job is made anew."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED_POD, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.samples import member, merged, pod

from finetune_api.report import ENV_CONFIG_DIGEST
from finetune_operator.job.names import preflight_job_name
from finetune_operator.kube.client import CONFIG_MAPS, JOBS, PODS, SECRETS
from finetune_operator.manifests.config_map import digest_of, mounted_digest

OF_BEFORE = "sha256:" + "0" * 64


async def lose_config_map(world: World, name: str, digest: str | None = None) -> None:
    """The Job of this name is made, perhaps by an operator that rendered another `run.yaml`, and its ConfigMap is deleted; a new pod does not start."""
    await world.see()
    await world.reconcile()
    made = world.api.objects[JOBS.plural, name]
    containers = made["spec"]["template"]["spec"]["containers"]
    if digest is not None:
        (variable,) = (each for each in containers[0]["env"] if each["name"] == ENV_CONFIG_DIGEST)
        variable["value"] = digest
    world.api.put(JOBS, made)
    uid = made["metadata"]["uid"]
    owner = {**OWNED_POD["metadata"]["ownerReferences"][0], "name": name, "uid": uid}
    world.api.put(PODS, merged(pod(), {"metadata": {**OWNED_POD["metadata"], "ownerReferences": [owner]}}))
    del world.api.objects[CONFIG_MAPS.plural, "yelp-run"]
    await world.see()


def about_the_run(world: World) -> list[str]:
    return [each for each in world.api.requests if each in ("create jobs", "delete jobs", "create configmaps")]


async def test_of_an_operator_of_this_version_it_is_made_again(world: World) -> None:
    await lose_config_map(world, "yelp")

    await world.reconcile()
    await world.reconcile()

    assert about_the_run(world) == ["create configmaps"]
    run = world.api.objects[CONFIG_MAPS.plural, "yelp-run"]
    assert mounted_digest(world.api.objects[JOBS.plural, "yelp"]) == digest_of(run)


@pytest.mark.parametrize("spec", [{}, {"runPolicy": {"preflight": "pod"}}], ids=["training", "preflight"])
async def test_of_another_version_the_job_goes_after_its_pods_and_comes_with_the_text_of_this_one(
    world: World, spec: dict[str, Any]
) -> None:
    name = preflight_job_name("yelp") if spec else "yelp"
    world.edit(**spec)
    await lose_config_map(world, name, OF_BEFORE)

    await world.reconcile()
    gone = about_the_run(world)
    await world.see()
    await world.reconcile()
    meanwhile = about_the_run(world)
    del world.api.objects[JOBS.plural, name], world.api.objects[PODS.plural, "yelp-1"]
    world.time += 60
    await world.see()
    await world.reconcile()

    assert (gone, meanwhile, about_the_run(world)) == (
        ["delete jobs"],
        [],
        ["create configmaps", "create jobs"],
    )
    made = world.api.objects[JOBS.plural, name]
    assert mounted_digest(made) == digest_of(world.api.objects[CONFIG_MAPS.plural, "yelp-run"])


async def test_one_that_somebody_has_put_in_its_place_stays_for_the_trainer_to_refuse(world: World) -> None:
    await lose_config_map(world, "yelp", OF_BEFORE)
    theirs = world.api.put(CONFIG_MAPS, {"metadata": {"name": "yelp-run"}, "data": {"run.yaml": "theirs"}})

    await world.reconcile()

    assert about_the_run(world) == []
    assert world.api.objects[CONFIG_MAPS.plural, "yelp-run"] == theirs


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
