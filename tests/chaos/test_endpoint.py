"""Reports go where the leader is: by an EndpointSlice that the operator's own account writes, under its rights and its policy."""

from pathlib import Path
from typing import Any

import pytest
from tests.chaos.fixtures import scene
from tests.integration.fixtures import restricted_pod
from tests.integration.release import Release

from devcluster.testing.api import wait_for


@pytest.mark.slow
def test_the_leader_leads_the_service_to_its_pod_and_whoever_cuts_it_off_does_not_for_long(
    release: Release, tmp_path: Path
) -> None:
    home = release.home
    home.apply(restricted_pod("leader", [{"name": "operator", "image": "operator"}], nodeSelector={"no": "node"}))
    uid = home.get("pod", "leader")["metadata"]["uid"]
    where = {"SERVICE": "ft-finetune-operator", "POD_NAME": "leader", "POD_UID": uid, "POD_IP": "10.1.2.3"}
    with scene(release, tmp_path, **where) as stage:
        found = wait_for(lambda: home.get("endpointslice", "ft-finetune-operator-leader"), bool, "the slice")
        home.kubectl("delete", "endpointslice", "ft-finetune-operator-leader")
        again = wait_for(lambda: home.get("endpointslice", "ft-finetune-operator-leader"), bool, "the slice again")
        port = int(stage.operator.environment["FINETUNE_OPERATOR_REPORTS_PORT"])
    home.kubectl("delete", "pod", "leader", "--grace-period=0", "--force")

    assert [leads_to(each) for each in (found, again)] == [("10.1.2.3", port, uid)] * 2
    assert found["metadata"]["uid"] != again["metadata"]["uid"]


def leads_to(slice_: dict[str, Any]) -> tuple[str, int, str]:
    """Address and port of a slice, and the uid of the pod that owns it."""
    (endpoint,), (port,) = slice_["endpoints"], slice_["ports"]
    (owner,) = slice_["metadata"]["ownerReferences"]
    return endpoint["addresses"][0], port["port"], owner["uid"]
