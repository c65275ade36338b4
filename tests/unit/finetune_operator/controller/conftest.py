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
)


@pytest.fixture
def world() -> World:
    made = make_world(FakeApi(), PROOF_KEY)
    made.api.put(FINETUNEJOBS, finetunejob(settled()))
    return made
