"""Binds pods to nodes."""

import asyncio
import logging
from datetime import UTC, datetime

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import PODS, STRATEGIC_MERGE_PATCH, Client, Object
from devcluster.events import Recorder, timestamp
from devcluster.informer import Informer, Key, key_of
from devcluster.node.scheduling import Placement, is_schedulable, place

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class Scheduler:
    """Schedules the pending pods, in order of priority and age, whenever a pod, node or claim changes."""

    def __init__(self, client: Client, nodes: Informer, pods: Informer, claims: Informer) -> None:
        self._client = client
        self._recorder = Recorder(client, "default-scheduler")
        self._nodes, self._pods, self._claims = nodes, pods, claims
        self._changed = asyncio.Event()
        # Pods that were just bound, by uid, until the cache has their nodes.
        self._bound: dict[str, str] = {}
        for informer in (nodes, pods, claims):
            informer.on_change(lambda old, new: self._changed.set())

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._pass()
            except (ApiException, ClientError, TimeoutError) as error:
                logger.warning("scheduling failed, again in %g s: %s", RETRY_SECONDS, error)
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()

    async def _pass(self) -> None:
        pods = list(self._pods.objects.values())
        self._bound = {
            pod["metadata"]["uid"]: self._bound[pod["metadata"]["uid"]]
            for pod in pods
            if pod["metadata"]["uid"] in self._bound and not pod["spec"].get("nodeName")
        }
        pending = [pod for pod in pods if is_schedulable(pod) and pod["metadata"]["uid"] not in self._bound]
        for pod in sorted(pending, key=_order):
            try:
                placement = place(pod, self._nodes.objects.values(), self._assumed(pods), self._claims_of(pod))
            except ValueError as error:
                # An amount is not a quantity: this pod never runs, but the others must.
                placement = Placement(None, str(error))
            if placement.node:
                await self._bind(pod, placement.node)
            else:
                await self._refuse(pod, placement)

    def _assumed(self, pods: list[Object]) -> list[Object]:
        """Return the pods as the cache will have them after the bindings that were made."""
        return [
            {**pod, "spec": {**pod["spec"], "nodeName": self._bound[pod["metadata"]["uid"]]}}
            if pod["metadata"]["uid"] in self._bound
            else pod
            for pod in pods
        ]

    def _claims_of(self, pod: Object) -> dict[str, Object]:
        namespace = pod["metadata"]["namespace"]
        return {name: claim for (where, name), claim in self._claims.objects.items() if where == namespace}

    async def _bind(self, pod: Object, node: str) -> None:
        metadata = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.create(PODS.path_of(pod, "binding"), binding)
        except ApiException as error:
            # Deleted or bound meanwhile: the next change triggers another attempt.
            if error.status not in (404, 409):
                raise
            return
        self._bound[metadata["uid"]] = node
        where = f"{metadata['namespace']}/{metadata['name']}"
        await self._recorder.record(pod, "Scheduled", f"Successfully assigned {where} to {node}")

    async def _refuse(self, pod: Object, placement: Placement) -> None:
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": placement.message,
        }
        conditions = (pod.get("status") or {}).get("conditions") or []
        current: Object = next((item for item in conditions if item["type"] == "PodScheduled"), {})
        if current.get("message") == placement.message:
            return
        since = current.get("lastTransitionTime") if current.get("status") == "False" else None
        condition["lastTransitionTime"] = since or timestamp(datetime.now(UTC))
        patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(PODS.path_of(pod, "status"), patch, content_type=STRATEGIC_MERGE_PATCH)
        except ApiException as error:
            if error.status not in (404, 409):
                raise
            return
        await self._recorder.warn(pod, "FailedScheduling", placement.message)


def _order(pod: Object) -> tuple[int, str, Key]:
    """Sort key of kube-scheduler's queue: higher priority first, then the older pod."""
    return -(pod["spec"].get("priority") or 0), pod["metadata"]["creationTimestamp"], key_of(pod)
