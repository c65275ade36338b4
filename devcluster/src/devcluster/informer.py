"""A cache of one kind, kept up to date by list and watch."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from json import JSONDecodeError

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import Client, Gone, Object, Resource

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""

Handler = Callable[[Object | None, Object | None], None]
"""Called with the object before and after a change; None if it does not exist."""


def key_of(obj: Object) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


class Informer:
    """The objects of one resource by key. They are the cache itself: do not change them."""

    def __init__(self, client: Client, resource: Resource, **selectors: str) -> None:
        """`selectors` are the query parameters `labelSelector` and `fieldSelector`."""
        self.resource = resource
        self.objects: dict[Key, Object] = {}
        self.synced = asyncio.Event()
        self._client = client
        self._selectors = selectors
        self._handlers: list[Handler] = []
        self._resource_version = ""

    def on_change(self, handler: Handler) -> None:
        """Call `handler` for every later change, and at once for each cached object as added."""
        self._handlers.append(handler)
        for obj in list(self.objects.values()):
            handler(None, obj)

    async def run(self) -> None:
        """List, then watch, and list again whenever the watch cannot resume. Run until cancelled."""
        failures = 0
        while True:
            try:
                if not self._resource_version:
                    await self._list()
                await self._watch()
                failures = 0
            except Gone:
                self._resource_version = ""
            # A server that dies within a line leaves half an event, which is not JSON.
            except (ApiException, ClientError, TimeoutError, OSError, JSONDecodeError) as error:
                if isinstance(error, ApiException) and error.status in (404, 410):
                    self._resource_version = ""
                failures += 1
                delay = min(0.2 * 2**failures, 10.0)
                logger.debug("watch of %s failed, again in %.1f s: %s", self.resource.plural, delay, error)
                await asyncio.sleep(delay)

    async def _list(self) -> None:
        answer = await self._client.get(self.resource.path(), **self._selectors)
        found: dict[Key, Object] = {}
        for item in answer["items"]:
            # Items of a list do not repeat their kind.
            item.setdefault("apiVersion", self.resource.api_version)
            item.setdefault("kind", self.resource.kind)
            found[key_of(item)] = item
        for key in self.objects.keys() - found.keys():
            self._store(key, None)
        for key, item in found.items():
            self._store(key, item)
        self._resource_version = answer["metadata"]["resourceVersion"]
        self.synced.set()

    async def _watch(self) -> None:
        path = self.resource.path()
        async for event in self._client.watch(path, self._resource_version, timeoutSeconds="300", **self._selectors):
            obj = event["object"]
            if event["type"] != "BOOKMARK":
                self._store(key_of(obj), None if event["type"] == "DELETED" else obj)
            self._resource_version = obj["metadata"]["resourceVersion"]

    def _store(self, key: Key, obj: Object | None) -> None:
        old = self.objects.get(key)
        if obj is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = obj
        if old is None and obj is None:
            return
        if old and obj and old["metadata"]["uid"] != obj["metadata"]["uid"]:
            # Deleted and created again between two lists: two changes for the handlers.
            self._notify(old, None)
            old = None
        if old != obj:
            self._notify(old, obj)

    def _notify(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            handler(old, new)


@asynccontextmanager
async def running(*informers: Informer) -> AsyncIterator[None]:
    """Run informers while the context lasts; it begins once each has its first list."""
    tasks = [asyncio.create_task(informer.run()) for informer in informers]
    try:
        await asyncio.gather(*(informer.synced.wait() for informer in informers))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
