"""The Node object and its heartbeat."""

import asyncio
import logging
import os
import platform
from datetime import UTC, datetime

import psutil
from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import LEASES, NODES, Client, Object
from devcluster.events import timestamp
from devcluster.node.sources import HOST_IP

logger = logging.getLogger(__name__)

# The kubelet's values: a Lease of 40 s, renewed every 10 s, well within the 50 s after which a node is lost.
HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 40
LEASE_NAMESPACE = "kube-node-lease"
MAX_PODS = 110


def capacity(gpus: int, cpus: int | None, memory: str | None) -> dict[str, str]:
    """Return the node's capacity as a ResourceList, by default this machine's."""
    found = {
        "cpu": str(cpus if cpus is not None else os.cpu_count() or 1),
        "memory": memory if memory is not None else f"{psutil.virtual_memory().total // 1024}Ki",
        "pods": str(MAX_PODS),
    }
    return {**found, "nvidia.com/gpu": str(gpus)} if gpus else found


def node_object(name: str, resources: dict[str, str]) -> Object:
    """Return the Node to create."""
    system, machine = platform.system().lower(), _architecture()
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": system, "kubernetes.io/arch": machine}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {"capacity": resources, "allocatable": resources},
    }


def node_status(resources: dict[str, str], log_port: int, since: datetime, now: datetime) -> Object:
    """Return the Node's status: ready since `since`, heartbeat at `now`."""
    healthy = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "the dev cluster's node runs containers as processes"),
    ]
    return {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": HOST_IP}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": log_port}},
        "nodeInfo": {
            "architecture": _architecture(),
            "operatingSystem": platform.system().lower(),
            "osImage": platform.platform(),
            "kernelVersion": platform.release(),
            "kubeletVersion": "v1.36.0+devcluster",
            "kubeProxyVersion": "",
            "containerRuntimeVersion": "devcluster://processes",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": timestamp(now),
                "lastTransitionTime": timestamp(since),
            }
            for kind, status, reason, message in healthy
        ],
    }


def _architecture() -> str:
    """Return the machine's architecture by its name in Go."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine().lower())


class Registration:
    """Creates the Node and keeps it ready."""

    def __init__(self, client: Client, name: str, resources: dict[str, str], log_port: int) -> None:
        self._client = client
        self._name, self._resources, self._log_port = name, resources, log_port
        self._since = datetime.now(UTC)

    async def register(self) -> Object:
        """Create the Node, or take over that of this name, and set it ready."""
        try:
            await self._client.create(NODES.path(), node_object(self._name, self._resources))
        except ApiException as error:
            if error.status != 409:
                raise
        return await self._write_status()

    async def heartbeat(self) -> None:
        """Renew the Lease and the status until cancelled."""
        while True:
            try:
                await self._renew_lease()
                await self._write_status()
            except ApiException as error:
                if error.status == 404:
                    logger.warning("node %s does not exist any more in the API server", self._name)
                else:
                    logger.warning("heartbeat failed: %s", error)
            except (ClientError, TimeoutError) as error:
                logger.warning("heartbeat failed: %s", error)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _write_status(self) -> Object:
        status = node_status(self._resources, self._log_port, self._since, datetime.now(UTC))
        return await self._client.patch(NODES.path(name=self._name, subresource="status"), {"status": status})

    async def _renew_lease(self) -> None:
        renewed = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": LEASE_NAMESPACE},
            "spec": renewed,
        }
        try:
            await self._client.patch(LEASES.path(LEASE_NAMESPACE, self._name), {"spec": renewed})
        except ApiException as error:
            if error.status != 404:
                raise
            await self._client.create(LEASES.path(LEASE_NAMESPACE), lease)
