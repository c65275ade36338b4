"""Profiles of a cluster, and passes that give a job the one that is its."""

from typing import Any

from tests.unit.finetune_operator.controller.world import World
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.samples import (
    PROOF_KEY,
)

from finetune_api.profile import FineTuneProfileSpec
from finetune_operator.controller.profiles import Profiles
from finetune_operator.kube.client import JOBS, PROFILES
from finetune_operator.kube.informer import Informer


def profile(name: str = "default", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "generation": 5}, "spec": spec}


async def pass_of(world: World) -> list[str]:
    """The requests of one pass over what the caches then hold."""
    await world.see()
    await world.reconcile()
    return world.api.requests


def made_job(world: World) -> dict[str, Any]:
    return world.api.objects[JOBS.plural, "yelp"]


def profiles_of(api: FakeApi | None = None) -> Profiles:
    api = api or FakeApi()
    cache = Informer(api, PROFILES, label=None, on_change=lambda _: None, resync_seconds=300)  # type: ignore[arg-type]
    return Profiles(api, cache, built_in=FineTuneProfileSpec(), keys=lambda: [PROOF_KEY], installation="finetune/keys")  # type: ignore[arg-type]
