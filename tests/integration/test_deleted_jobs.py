"""Who deletes a FineTuneJob ends its run: nothing trains on that nobody counts."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.integration.fixtures import ROOT, Space, finetunejob, reason_of

from devcluster.testing.api import eventually, wait_for
from finetune_api.policy import ORPHANS_NAME

NOWHERE: dict[str, Any] = {"nodeSelector": {"example.com/nowhere": "here"}}


@pytest.fixture
def policy(space: Space) -> Iterator[None]:
    """The policy about orphans, in force."""
    documents = yaml.safe_load_all((ROOT / "crds" / "finetunejobs-policy.yaml").read_text())
    mine = [each for each in documents if each["metadata"]["name"] == ORPHANS_NAME]
    space.apply(*mine)
    eventually(lambda: "without its run" in orphaned(space, "--dry-run=server"), "the policy to be in force")
    yield
    for each in mine:
        space.kubectl("delete", each["kind"], ORPHANS_NAME)


def orphaned(space: Space, *options: str) -> str:
    """What the API server says to who would delete a job without its run."""
    return space.kubectl("delete", "ftj", "kept", "--cascade=orphan", "--wait=false", *options, check=False)


def test_a_job_that_is_deleted_is_ended_whatever_finalizer_keeps_it(space: Space) -> None:
    raw = finetunejob("held", pod=NOWHERE)
    raw["metadata"]["finalizers"] = ["example.com/stays"]
    space.apply(raw)
    wait_for(lambda: space.get("job", "held"), bool, "its Job")

    space.kubectl("delete", "ftj", "held", "--wait=false")
    wait_for(lambda: space.get("job", "held"), lambda found: not found, "its Job to go")
    status = space.until("held", lambda status: reason_of(status) == "JobDeleted", "a word about that")
    space.kubectl("patch", "ftj", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    wait_for(lambda: space.get("ftj", "held"), lambda found: not found, "the end of the object")

    assert (status["phase"], space.get("job", "held")) == ("Pending", {})


def test_a_job_is_not_deleted_without_its_run(space: Space, request: pytest.FixtureRequest) -> None:
    space.apply(finetunejob("kept", pod=NOWHERE))
    wait_for(lambda: space.get("job", "kept"), bool, "its Job")
    request.getfixturevalue("policy")

    said = orphaned(space)
    space.kubectl("delete", "ftj", "kept")

    assert "without its run" in said
    wait_for(lambda: space.get("job", "kept"), lambda found: not found, "its Job to go with it")
