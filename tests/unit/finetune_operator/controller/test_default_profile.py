"""The default profile is made where there is none."""

import asyncio
from typing import Any

import pytest
from tests.unit.finetune_operator.controller.settling import profile, profiles_of
from tests.unit.finetune_operator.fake_api import FakeApi

from finetune_api.profile import FineTuneProfileSpec
from finetune_operator.controller.profiles import Profiles
from finetune_operator.kube.client import PROFILES, Kind


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
    profiles = profiles_of(api)

    profiles.want_default()
    await settled_down(profiles)

    assert api.objects[PROFILES.plural, "default"]["spec"] == FineTuneProfileSpec().to_wire()


@pytest.mark.parametrize("there", [False, True])
async def test_the_default_profile_is_made_where_there_is_none_and_never_changed(there: bool) -> None:
    api = FakeApi()
    if there:
        api.put(PROFILES, profile(limits={"gpus": 2}))
    profiles = profiles_of(api)

    profiles.want_default()
    await settled_down(profiles)

    made = api.objects[PROFILES.plural, "default"]["spec"]
    assert made == ({"limits": {"gpus": 2}} if there else FineTuneProfileSpec().to_wire())
    assert ("create finetuneprofiles" in api.requests) is not there
