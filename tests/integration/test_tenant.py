"""The namespace of a tenant as `examples/platform/tenant.yaml` has it."""

import json
import uuid
from collections.abc import Iterator

import pytest
import yaml
from tests.integration.fixtures import ROOT, finetunejob
from tests.integration.release import Release
from tests.integration.space import Space

from devcluster.cluster import Cluster
from devcluster.testing.api import wait_for

COUNT = "count/finetunejobs.finetune.dev"
EXAMPLE = list(yaml.safe_load_all((ROOT / "examples" / "platform" / "tenant.yaml").read_text()))


@pytest.fixture
def tenant(finetune_crd: Cluster) -> Iterator[Space]:
    """The example's namespace by another name, with room for one FineTuneJob."""
    made = Space(finetune_crd, f"tenant-{uuid.uuid4().hex[:8]}")
    namespace, quota = EXAMPLE
    namespace["metadata"]["name"] = quota["metadata"]["namespace"] = made.namespace
    quota["spec"]["hard"][COUNT] = "1"
    made.apply(namespace)
    made.apply(quota)
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--wait=false")


def test_the_quota_of_the_example_counts_finetunejobs(enforced_quotas: None, tenant: Space) -> None:
    used = lambda: tenant.get("resourcequota", "finetune").get("status", {}).get("used", {})  # noqa: E731
    wait_for(used, lambda now: COUNT in now, "the quota to be computed")
    tenant.apply(finetunejob("first", suspend=True))

    refused = tenant.kubectl("apply", "-f", "-", stdin=json.dumps(finetunejob("second", suspend=True)), check=False)

    assert f"exceeded quota: finetune, requested: {COUNT}=1, used: {COUNT}=1, limited: {COUNT}=1" in refused


def test_no_role_of_a_tenant_reaches_the_profile_of_its_namespace_or_a_status(
    enforced_rights: None, release: Release, tenant: Space
) -> None:
    for role in ("edit", "admin"):
        tenant.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user=has-{role}")
    tenant.kubectl("create", "role", "starts", "--verb=create,get", "--resource=finetunejobs.finetune.dev")
    tenant.kubectl("create", "rolebinding", "starts", "--role=starts", "--user=starts-jobs")
    asked = (
        ("create", "finetunejobs.finetune.dev", ""),
        ("update", "finetunejobs.finetune.dev", "status"),
        ("update", "namespaces", ""),
        ("update", "pods", "ephemeralcontainers"),
        ("create", "pods", "exec"),
        ("get", "secrets", ""),
    )

    def may(user: str) -> set[str]:
        return {
            " ".join(right).strip()
            for right in asked
            if tenant.kubectl("auth", "can-i", *right[:2], f"--subresource={right[2]}", f"--as={user}", check=False)
            .strip()
            .endswith("yes")
        }

    starts = {"create finetunejobs.finetune.dev"}
    assert may("has-edit") == starts | {"create pods exec", "get secrets"}
    assert may("has-admin") == starts | {"create pods exec", "get secrets"}
    assert may("starts-jobs") == starts
