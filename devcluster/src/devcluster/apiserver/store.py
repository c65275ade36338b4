"""The state of the cluster: objects by resource, one revision counter, a bounded history from which watches resume."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from devcluster.apiserver.errors import expired
from devcluster.apiserver.objects import Object

Key = tuple[str, str]  # namespace ("" when cluster-scoped), name


@dataclass(frozen=True)
class Event:
    """One change. `previous` is the object before it, which watches with selectors need."""

    type: str  # ADDED, MODIFIED, DELETED
    revision: int
    obj: Object
    previous: Object | None


@dataclass
class _Table:
    objects: dict[Key, Object] = field(default_factory=dict)
    history: deque[Event] = field(default_factory=deque)
    forgotten: int = 0  # revision of the newest event that is no longer in the history
    watchers: set["Subscription"] = field(default_factory=set)


class Subscription:
    """Receives the events of one resource, in order, from the moment that it is opened."""

    def __init__(self, table: _Table) -> None:
        self._table = table
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        table.watchers.add(self)

    def offer(self, event: Event | None) -> None:
        self._queue.put_nowait(event)

    async def next(self) -> Event | None:
        """Wait for the next event; None if the resource is no longer served."""
        return await self._queue.get()

    def close(self) -> None:
        self._table.watchers.discard(self)


class Store:
    """Objects by resource. Stored objects are never changed in place: callers clone before they edit.

    Not thread-safe; every call is made on the server's event loop, so that a read and the write that
    follows it without an `await` between them are one transaction.
    """

    def __init__(self, history: int = 2000) -> None:
        self.revision = 1
        self._history = history
        self._tables: dict[str, _Table] = {}

    def get(self, resource: str, key: Key) -> Object | None:
        return self._table(resource).objects.get(key)

    def objects(self, resource: str, namespace: str = "") -> Iterator[Object]:
        """Yield objects by namespace and name, etcd's order; of all namespaces if none is given."""
        objects = self._table(resource).objects
        for key in sorted(objects):
            if not namespace or key[0] == namespace:
                yield objects[key]

    def put(self, resource: str, key: Key, obj: Object) -> Object:
        """Store `obj` under a new revision, which is written into its metadata."""
        table = self._table(resource)
        previous = table.objects.get(key)
        stored = self._stamped(obj)
        table.objects[key] = stored
        self._publish(table, Event("MODIFIED" if previous else "ADDED", self.revision, stored, previous))
        return stored

    def remove(self, resource: str, key: Key, last: Object | None = None) -> Object:
        """Delete the object; `last` is its final state if the deletion changes it."""
        table = self._table(resource)
        previous = table.objects.pop(key)
        stored = self._stamped(last or previous)
        self._publish(table, Event("DELETED", self.revision, stored, previous))
        return stored

    def drop(self, resource: str) -> None:
        """Delete a resource with all objects (its definition is deleted) and end its watches."""
        table = self._tables.pop(resource, None)
        for watcher in list(table.watchers) if table else []:
            watcher.offer(None)

    def subscribe(self, resource: str, since: int | None) -> tuple[Subscription, list[Event]]:
        """Return a subscription and the events after revision `since`.

        Raises ApiError 410 if the history begins later.
        """
        table = self._table(resource)
        if since is not None and since < table.forgotten:
            raise expired(f"too old resource version: {since} ({table.forgotten})")
        missed = [event for event in table.history if since is not None and event.revision > since]
        return Subscription(table), missed

    def _table(self, resource: str) -> _Table:
        return self._tables.setdefault(resource, _Table())

    def _stamped(self, obj: Object) -> Object:
        self.revision += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}

    def _publish(self, table: _Table, event: Event) -> None:
        table.history.append(event)
        if len(table.history) > self._history:
            table.forgotten = table.history.popleft().revision
        for watcher in table.watchers:
            watcher.offer(event)
