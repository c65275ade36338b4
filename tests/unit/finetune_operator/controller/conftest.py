"""A job, and what a pass for it meets."""

import pytest
from tests.unit.finetune_operator.controller.world import World, make_world
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.samples import (
    PROOF_KEY,
    finetunejob,
    settled,
)

from finetune_operator.kube.client import (
    FINETUNEJOBS,
    NAMESPACES,
)


@pytest.fixture
def world() -> World:
    made = make_world(FakeApi(), PROOF_KEY)
    made.api.put(FINETUNEJOBS, finetunejob(settled()))
    return made


@pytest.fixture
def fresh(world: World) -> World:
    """A job that nothing was made for, of a namespace with labels."""
    world.api.put(FINETUNEJOBS, finetunejob())
    world.api.put(NAMESPACES, {"metadata": {"name": "team-a", "labels": {"team": "a"}}})
    return world
