"""Empties namespaces that are deleted, and creates the service account `default` in each namespace."""

import asyncio

from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import NAMESPACES, SERVICE_ACCOUNTS, Client, Object
from devcluster.controllers.discovery import discover
from devcluster.controllers.workqueue import WorkQueue
from devcluster.informer import Informer, Key, key_of

FINALIZER = "kubernetes"
_AGAIN_SECONDS = 0.2


class NamespaceController:
    """Syncs each namespace when it changes, or when its service account `default` is deleted."""

    def __init__(self, client: Client, namespaces: Informer, accounts: Informer) -> None:
        self._client = client
        self._accounts = accounts
        self._queue: WorkQueue[Key] = WorkQueue(self._sync)
        namespaces.on_change(self._namespace_changed)
        accounts.on_change(self._account_changed)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._queue.run()

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new:
            self._queue.add(key_of(new))

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old and old["metadata"]["name"] == "default":
            self._queue.add(("", old["metadata"]["namespace"]))

    async def _sync(self, key: Key) -> float | None:
        name = key[1]
        try:
            namespace = await self._client.get(NAMESPACES.path(name=name))
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        if namespace["metadata"].get("deletionTimestamp"):
            return await self._empty(namespace)
        if (name, "default") not in self._accounts.objects:
            await self._make_account(name)
        return None

    async def _make_account(self, namespace: str) -> None:
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": namespace},
        }
        try:
            await self._client.create(SERVICE_ACCOUNTS.path(namespace), account)
        except ApiException as error:
            if error.status not in (404, 409):
                raise

    async def _empty(self, namespace: Object) -> float | None:
        """Delete the contents of a namespace; when nothing is left, finalize it."""
        name = namespace["metadata"]["name"]
        mapper = await discover(self._client)
        is_empty = True
        for resource in (resource for resource in mapper.resources if resource.namespaced):
            for item in (await self._client.get(resource.path(name)))["items"]:
                is_empty = False
                if not item["metadata"].get("deletionTimestamp"):
                    path, uid = resource.path_of(item), item["metadata"]["uid"]
                    await self._client.delete(path, uid=uid, propagationPolicy="Background")
            await asyncio.sleep(0)
        if not is_empty:
            return _AGAIN_SECONDS
        rest = [item for item in (namespace["spec"].get("finalizers") or []) if item != FINALIZER]
        final = {**namespace, "spec": {**namespace["spec"], "finalizers": rest}}
        try:
            await self._client.replace(NAMESPACES.path(name=name, subresource="finalize"), final)
        except ApiException as error:
            if error.status != 404:
                raise
        return None
