"""A job that a quota keeps from being made waits, and is made once there is room."""

import uuid
from collections.abc import Iterator

import pytest
from tests.integration.fixtures import OperatorProcess, finetunejob, reason_of
from tests.integration.space import Space

from devcluster.cluster import Cluster
from devcluster.testing.api import wait_for

COUNT = "count/jobs.batch"


@pytest.fixture
def crowded(finetune_crd: Cluster, enforced_quotas: None) -> Iterator[Space]:
    """A namespace with room for one Job."""
    made = Space(finetune_crd, f"crowded-{uuid.uuid4().hex[:8]}")
    made.create()
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
    made.apply({**quota, "spec": {"hard": {COUNT: "1"}}})
    used = lambda: made.get("resourcequota", "small").get("status", {}).get("used", {})  # noqa: E731
    wait_for(used, lambda now: COUNT in now, "the quota to be computed")
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--wait=false")


def test_a_job_that_a_quota_refuses_is_made_once_another_has_gone(
    operator_process: OperatorProcess, crowded: Space
) -> None:
    # Suspended, so that no pod has to run.
    crowded.apply(finetunejob("first", suspend=True))
    crowded.until("first", lambda status: status.get("phase") == "Suspended", "its Job")
    crowded.apply(finetunejob("second", suspend=True))
    blocked = crowded.until("second", lambda status: "exceeded quota" in status.get("message", ""), "a reason")
    (claim,) = crowded.list("pvc", "finetune.dev/job-name=second")
    crowded.kubectl("delete", "pvc", claim["metadata"]["name"])

    crowded.kubectl("delete", "ftj", "first")
    made = crowded.until("second", lambda status: status.get("phase") == "Suspended", "its Job")
    wait_for(lambda: crowded.get("pvc", claim["metadata"]["name"]), bool, "the claim to be made again")

    assert (blocked["phase"], reason_of(blocked)) == ("Pending", "CreateForbidden")
    assert reason_of(made) == "Suspended"
    assert "watch of resourcequotas failed" not in operator_process.log.read_text()


def test_jobs_that_a_quota_refuses_are_made_when_it_is_raised(
    operator_process: OperatorProcess, crowded: Space
) -> None:
    names = [f"job-{number}" for number in range(15)]
    for name in names:
        crowded.apply(finetunejob(name, suspend=True))
    phases = lambda: [crowded.status(name).get("phase") for name in names]  # noqa: E731
    wait_for(phases, lambda now: sorted(map(str, now)) == ["Pending"] * 14 + ["Suspended"], "all but one to be refused")

    crowded.kubectl(
        "patch", "resourcequota", "small", "--type=merge", "-p", f'{{"spec": {{"hard": {{"{COUNT}": "15"}}}}}}'
    )
    wait_for(phases, lambda now: now == ["Suspended"] * 15, "all to have their Job")
