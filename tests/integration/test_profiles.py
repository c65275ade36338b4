"""Profiles as the operator holds them, where no admission policy refuses anything at apply."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, finetunejob, reason_of
from tests.integration.space import Space

from devcluster.testing.api import wait_for


@pytest.fixture
def make_profile(space: Space) -> Iterator[Any]:
    """Makes or changes a profile of this name and spec; all are deleted after the test."""
    names = set()

    def make(name: str, **spec: Any) -> None:
        names.add(name)
        profile = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneProfile", "metadata": {"name": name}}
        space.apply({**profile, "spec": spec})

    yield make
    for name in names:
        space.kubectl("delete", "ftp", name)


def test_the_operator_makes_the_default_profile_again_when_it_is_deleted(space: Space) -> None:
    before = wait_for(lambda: space.get("ftp", "default"), bool, "the profile")

    space.kubectl("delete", "ftp", "default")
    after = wait_for(
        lambda: space.get("ftp", "default"),
        lambda now: now and now["metadata"]["uid"] != before["metadata"]["uid"],
        "it",
    )

    assert after["spec"] == before["spec"]
    assert after["spec"]["allow"]["images"] == ["*"]


def test_a_job_that_breaks_a_rule_of_its_profile_fails_before_anything_is_made(space: Space, make_profile: Any) -> None:
    make_profile("strict", limits={"memory": "1Gi"})
    make_profile("elsewhere", namespaces={"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}})
    space.apply(finetunejob("too-much", profile="strict", resources={"gpus": 0, "memory": "2Gi"}, pod={}))
    space.apply(finetunejob("not-here", profile="elsewhere", pod={}))

    ends = [space.end_of(name) for name in ("too-much", "not-here")]

    assert [end["failure"]["reason"] for end in ends] == ["PolicyViolation"] * 2
    assert [end["failure"]["message"] for end in ends] == [
        "profile strict: spec.resources.memory 2Gi is too much; limits.memory is 1Gi",
        f"profile elsewhere: namespace {space.namespace} may not have this profile; "
        "namespaces has kubernetes.io/metadata.name=elsewhere",
    ]
    made = [job["metadata"]["name"] for job in space.list("jobs")]
    assert {"too-much", "not-here"} & set(made) == set()
    space.kubectl("delete", "ftj", "too-much", "not-here")


_TRACKING = {"mlflow": {"uri": "https://mlflow.corp.example"}, "secretRef": {"name": "corp"}}


@pytest.mark.slow
def test_a_job_keeps_its_profile_when_that_changes_and_the_job_and_the_operator_begin_again(
    space: Space, make_profile: Any, operator_process: OperatorProcess
) -> None:
    space.apply(finetunejob("keeps", profile="kept", resources={"gpus": 0}, suspend=True, pod={}))
    waiting = space.until("keeps", lambda status: status.get("phase") == "Pending", "a word")
    make_profile(
        "kept", defaults={"resources": {"cpu": "250m", "memory": "1Gi"}, "scratch": "2Gi", "tracking": _TRACKING}
    )
    space.until("keeps", lambda status: status.get("phase") == "Suspended", "its Job")
    before, kept = space.get("job", "keeps"), space.status("keeps")["profile"]
    make_profile("kept", defaults={"resources": {"cpu": "4"}, "scratch": "9Gi"}, limits={"gpus": 0})
    operator_process.end()
    space.kubectl("delete", "job", "keeps")
    operator_process.start()
    after = wait_for(lambda: space.get("job", "keeps"), bool, "another Job")
    status = space.status("keeps")
    space.kubectl("delete", "ftj", "keeps")

    assert reason_of(waiting) == "ProfileNotFound"
    template, again = (job["spec"]["template"]["spec"] for job in (before, after))
    assert template["containers"][0]["resources"]["limits"] == {"cpu": "250m", "memory": "1Gi"}
    assert {"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}} in template["volumes"]
    assert {"name": "secret-tracking", "secret": {"secretName": "corp", "defaultMode": 0o440}} in template["volumes"]
    assert (again["containers"], again["volumes"]) == (template["containers"], template["volumes"])
    assert (kept["name"], kept["generation"]) == ("kept", 1)
    assert status["profile"] == kept


def test_what_somebody_else_writes_into_a_status_gives_a_job_no_other_profile(space: Space, make_profile: Any) -> None:
    settings = json.dumps({"defaults": {"serviceAccountName": "admin", "image": "evil"}})
    digest = f"sha256:{hashlib.sha256(settings.encode()).hexdigest()}"
    kept = {"name": "own", "generation": 1, "digest": digest, "settings": settings}
    forged = {"profile": kept, "startTime": "2026-11-20T12:00:00Z"}
    space.apply(finetunejob("forged", profile="own", resources={"gpus": 0}, suspend=True, pod={}))
    space.until("forged", lambda status: status.get("phase") == "Pending", "a word")

    patch = json.dumps({"status": forged})
    space.kubectl("patch", "ftj", "forged", "--subresource=status", "--type=merge", "-p", patch)
    make_profile("own", defaults={"resources": {"cpu": "250m"}})
    made = wait_for(lambda: space.get("job", "forged"), bool, "its Job")
    after = space.status("forged")["profile"]
    space.kubectl("delete", "ftj", "forged")

    pod = made["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["cpu"] == "250m"
    assert pod.get("serviceAccountName") != "admin"
    assert pod["containers"][0]["image"] != "evil"
    assert after["digest"] != digest
