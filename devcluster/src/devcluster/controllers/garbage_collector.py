"""Deletes objects whose owners are deleted, and completes foreground and orphaning deletions."""

import asyncio
import logging
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import EVENTS, Client, Object, Resource
from devcluster.controllers.discovery import ResourceMapper, discover
from devcluster.controllers.ownership import OwnerState, decide, owner_references, waits_for_dependents
from devcluster.controllers.workqueue import WorkQueue
from devcluster.informer import Informer, Key, key_of

logger = logging.getLogger(__name__)

CUSTOM_RESOURCES = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)

# Seconds: a new CRD is served a moment after its creation.
DISCOVERY_SECONDS = 0.5

Item = tuple[Resource, Key]


class GarbageCollector:
    """Watches every kind, those of CRDs included, and their ownerReferences."""

    def __init__(self, client: Client, definitions: Informer) -> None:
        self._client = client
        self._queue: WorkQueue[Item] = WorkQueue(self._sync)
        self._informers: dict[Resource, tuple[Informer, asyncio.Task[None]]] = {}
        self._dependents: dict[str, set[Item]] = {}
        self._discover = asyncio.Event()
        self._discover.set()
        self.mapper = ResourceMapper()
        definitions.on_change(lambda old, new: self._discover.set())

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._queue.run())
                group.create_task(self._keep_watching())
        finally:
            for _, task in self._informers.values():
                task.cancel()

    async def _keep_watching(self) -> None:
        """Watch all kinds; start again whenever a CRD is created or deleted."""
        while True:
            await self._discover.wait()
            self._discover.clear()
            try:
                self._watch(await discover(self._client))
            except ApiException as error:
                logger.warning("discovery failed: %s", error.reason)
                self._discover.set()
            await asyncio.sleep(DISCOVERY_SECONDS)

    def _watch(self, mapper: ResourceMapper) -> None:
        self.mapper = mapper
        # Events are numerous, and neither own nor are owned.
        wanted = mapper.resources - {EVENTS}
        for resource in self._informers.keys() - wanted:
            self._informers.pop(resource)[1].cancel()
        for resource in wanted - self._informers.keys():
            informer = Informer(self._client, resource)
            informer.on_change(lambda old, new, resource=resource: self._changed(resource, old, new))  # type: ignore[misc]
            self._informers[resource] = informer, asyncio.create_task(informer.run())

    def _changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is None:
            return
        item = resource, key_of(obj)
        for reference in owner_references(old) if old else []:
            self._dependents.get(reference["uid"], set()).discard(item)
        for reference in owner_references(new) if new else []:
            self._dependents.setdefault(reference["uid"], set()).add(item)
        if new is None:
            # Its dependents have lost an owner; its owners may wait for its deletion.
            for dependent in self._dependents.pop(obj["metadata"]["uid"], set()):
                self._queue.add(dependent)
            self._look_at_owners(obj)
        else:
            self._queue.add(item)
            if waits_for_dependents(new):
                for dependent in self._dependents.get(new["metadata"]["uid"], set()):
                    self._queue.add(dependent)
            elif old and owner_references(old) != owner_references(new):
                self._look_at_owners(old)

    def _look_at_owners(self, obj: Object) -> None:
        for reference in owner_references(obj):
            resource = self.mapper.of_kind(reference["apiVersion"], reference["kind"])
            if resource:
                namespace = obj["metadata"].get("namespace", "") if resource.namespaced else ""
                self._queue.add((resource, (namespace, reference["name"])))

    def _cached(self, item: Item) -> Object | None:
        resource, key = item
        informer = self._informers.get(resource)
        return informer[0].objects.get(key) if informer else None

    async def _sync(self, item: Item) -> float | None:
        obj = self._cached(item)
        if obj is None:
            return None
        dependents = [
            (other, found)
            for other in sorted(self._dependents.get(obj["metadata"]["uid"], ()), key=str)
            if (found := self._cached(other))
        ]
        owners = {reference["uid"]: await self._owner_state(obj, reference) for reference in owner_references(obj)}
        decision = decide(obj, owners, [found for _, found in dependents])
        resource = item[0]
        if decision.delete:
            uid = obj["metadata"]["uid"]
            await self._client.delete(resource.path_of(obj), uid=uid, propagationPolicy=decision.delete)
        if decision.references is not None:
            await self._patch(item, obj, {"ownerReferences": list(decision.references)})
        if decision.finish:
            rest = [finalizer for finalizer in obj["metadata"]["finalizers"] if finalizer != decision.finish]
            await self._patch(item, obj, {"finalizers": rest or None})
        if decision.dependents == "delete":
            for dependent, _ in dependents:
                self._queue.add(dependent)
        if decision.dependents == "orphan":
            for dependent, found in dependents:
                left = [ref for ref in owner_references(found) if ref["uid"] != obj["metadata"]["uid"]]
                await self._patch(dependent, found, {"ownerReferences": left or None})
        return None

    async def _owner_state(self, obj: Object, reference: Object) -> OwnerState:
        """Read the owner itself: a cache is never trusted for absence."""
        resource = self.mapper.of_kind(reference["apiVersion"], reference["kind"])
        if resource is None:
            # A kind that is not served, no longer or not yet: its objects may exist.
            return OwnerState.SOLID
        namespace = obj["metadata"].get("namespace") if resource.namespaced else None
        try:
            owner = await self._client.get(resource.path(namespace, reference["name"]))
        except ApiException as error:
            if error.status != 404:
                raise
            return OwnerState.ABSENT
        if owner["metadata"]["uid"] != reference["uid"]:
            return OwnerState.ABSENT
        return OwnerState.WAITING if waits_for_dependents(owner) else OwnerState.SOLID

    async def _patch(self, item: Item, obj: Object, metadata: dict[str, Any]) -> None:
        """Patch the metadata of exactly the version for which the decision was made."""
        patch = {"metadata": {**metadata, "resourceVersion": obj["metadata"]["resourceVersion"]}}
        try:
            await self._client.patch(item[0].path_of(obj), patch)
        except ApiException as error:
            if error.status != 404:
                raise
