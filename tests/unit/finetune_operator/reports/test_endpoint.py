"""The Service leads to the leader's pod, and to whichever leads next."""

import asyncio
from typing import Any

from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.client import Kind, Kube
from finetune_operator.reports.endpoint import ENDPOINT_SLICES, Endpoint

POD = Endpoint("ft-system", "ft", "ft-abc", "uid-of-ft-abc", "10.0.0.7")


def test_the_slice_is_the_service_s_has_the_pod_alone_and_goes_with_it() -> None:
    assert POD.build_slice(8443) == {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "ft-system",
            "name": "ft-leader",
            "labels": {
                "kubernetes.io/service-name": "ft",
                "endpointslice.kubernetes.io/managed-by": "finetune-operator",
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "ft-abc", "uid": "uid-of-ft-abc"}],
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["10.0.0.7"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "namespace": "ft-system", "name": "ft-abc", "uid": "uid-of-ft-abc"},
            }
        ],
        "ports": [{"name": "reports", "port": 8443, "protocol": "TCP"}],
    }


def test_an_address_of_version_6_is_one() -> None:
    assert Endpoint("ns", "ft", "p", "u", "fd00::7").build_slice(1)["addressType"] == "IPv6"


def test_a_refusal_is_outlasted_and_a_slice_that_somebody_changes_is_put_right() -> None:
    applied: list[tuple[float, str]] = []

    class Api(Kube):
        def __init__(self) -> None:
            self.failures = [refusal(403, "RBAC has not synced")]

        async def apply(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
            assert kind == ENDPOINT_SLICES
            if self.failures:
                raise self.failures.pop()
            applied.append((asyncio.get_running_loop().time(), manifest["metadata"]["name"]))
            return manifest

    async def program() -> None:
        keeping = asyncio.create_task(POD.keep(Api(), 8443))
        await asyncio.sleep(40)
        keeping.cancel()

    run_in_virtual_time(program())

    assert applied == [(1, "ft-leader"), (31, "ft-leader")]
