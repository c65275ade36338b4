"""The EndpointSlice of the reports' Service, by which it leads to the leader and to nobody else.

Both pods are ready, or neither a rollout nor a drain would come to an end; so that the leader alone gets reports, it writes the
slice itself, and its successor replaces it. The leader's pod owns the slice: with the pod it goes.
"""

import asyncio
import ipaddress
import logging
from dataclasses import dataclass
from typing import Final

from finetune_api.base import JsonObject
from finetune_operator.kube.client import Kind, Kube
from finetune_operator.kube.errors import API_FAILURES, brief, shared_cause

ENDPOINT_SLICES: Final = Kind("/apis/discovery.k8s.io/v1", "endpointslices")

_AGAIN_SECONDS = 30.0
"""Whoever changes or deletes the slice cuts reports off for no longer."""
_RETRY_SECONDS = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoint:
    """The pod that takes reports, and the Service that leads to it."""

    namespace: str
    service: str
    pod: str
    pod_uid: str
    address: str

    def build_slice(self, port: int) -> JsonObject:
        """Return the EndpointSlice."""
        owner = {"apiVersion": "v1", "kind": "Pod", "name": self.pod, "uid": self.pod_uid}
        target = {"kind": "Pod", "namespace": self.namespace, "name": self.pod, "uid": self.pod_uid}
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": self.namespace,
                "name": f"{self.service}-leader",
                "labels": {
                    "kubernetes.io/service-name": self.service,
                    "endpointslice.kubernetes.io/managed-by": "finetune-operator",
                },
                "ownerReferences": [owner],
            },
            "addressType": f"IPv{ipaddress.ip_address(self.address).version}",
            "endpoints": [{"addresses": [self.address], "conditions": {"ready": True}, "targetRef": target}],
            "ports": [{"name": "reports", "port": port, "protocol": "TCP"}],
        }

    async def keep(self, kube: Kube, port: int) -> None:
        """Keep the EndpointSlice of the Service at this pod, until cancelled."""
        while True:
            pause = _AGAIN_SECONDS
            try:
                await kube.apply(ENDPOINT_SLICES, self.build_slice(port))
            except API_FAILURES as error:
                text, extra = "the Service %s cannot be led to this pod: %s", {"cause": shared_cause(error)}
                logger.warning(text, self.service, brief(error), extra=extra)
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)
