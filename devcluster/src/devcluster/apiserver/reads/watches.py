"""Watches: the events of one resource that a client selects, resumed at a resource version."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from devcluster.apiserver.errors import ApiError, bad_request
from devcluster.apiserver.objects import Object
from devcluster.apiserver.reads.selectors import Predicate
from devcluster.apiserver.store import Event, Store
from devcluster.apiserver.targets import Target

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_BOOKMARK_EVERY = 30.0  # seconds; at least once a minute in Kubernetes


@dataclass(frozen=True)
class WatchOptions:
    """The query of a watch: `since` is None to begin with the present state."""

    since: int | None
    bookmarks: bool
    initial_events: bool
    timeout: float
    matches: Predicate


def read_watch_options(query: dict[str, str], matches: Predicate) -> WatchOptions:
    """Read the query. Raises ApiError 400 for invalid numbers, or initial events without resourceVersionMatch."""
    version = query.get("resourceVersion") or "0"
    initial = query.get("sendInitialEvents") == "true"
    if initial and query.get("resourceVersionMatch") != "NotOlderThan":
        raise bad_request("resourceVersionMatch is required to be NotOlderThan when sendInitialEvents is set")
    try:
        since, timeout = int(version), float(query.get("timeoutSeconds") or 0)
    except ValueError as error:
        raise bad_request(f"invalid query: {error}") from error
    return WatchOptions(
        since=None if since == 0 or initial else since,
        bookmarks=query.get("allowWatchBookmarks") == "true",
        initial_events=initial,
        timeout=timeout or random.uniform(1800, 3600),  # noqa: S311 - spreads reconnects
        matches=matches,
    )


async def watch(store: Store, target: Target, options: WatchOptions) -> AsyncGenerator[tuple[str, Object], None]:
    """Yield (event type, object) until the timeout; the caller has called `check_resumable`."""

    def selected(obj: Object) -> bool:
        meta = obj["metadata"]
        if target.namespace and meta.get("namespace") != target.namespace:
            return False
        return (not target.name or meta["name"] == target.name) and options.matches(obj)

    subscription, missed = store.subscribe(target.resource.storage_key, options.since)
    try:
        if options.since is None:
            for shown in _present(store, target, options, selected):
                yield shown
        for event in missed:
            if change := transition(event, selected):
                yield change
        deadline = time.monotonic() + options.timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, _BOOKMARK_EVERY)):
                    arrived = await subscription.next()
            except TimeoutError:
                if options.bookmarks:
                    yield "BOOKMARK", _bookmark(target, store.revision, {})
                continue
            if arrived is None:
                return
            if change := transition(arrived, selected):
                yield change
    finally:
        subscription.close()


def _present(store: Store, target: Target, options: WatchOptions, selected: Predicate) -> list[tuple[str, Object]]:
    """Return the present objects as ADDED events, followed by a bookmark if the client asks for it."""
    events = [("ADDED", obj) for obj in store.objects(target.resource.storage_key, target.namespace) if selected(obj)]
    if options.initial_events and options.bookmarks:
        events.append(("BOOKMARK", _bookmark(target, store.revision, {INITIAL_EVENTS_END: "true"})))
    return events


def check_resumable(store: Store, target: Target, options: WatchOptions) -> None:
    """Raise ApiError 410 if the history does not reach back far enough, before the stream is opened."""
    subscription, _ = store.subscribe(target.resource.storage_key, options.since)
    subscription.close()


def transition(event: Event, selected: Predicate) -> tuple[str, Object] | None:
    """Return the event for a selection: an object that begins to match is ADDED, one that no longer matches DELETED."""
    now = event.type != "DELETED" and selected(event.obj)
    before = event.previous is not None and selected(event.previous)
    if now:
        return ("MODIFIED" if before else "ADDED"), event.obj
    if before and event.previous:
        version = event.obj["metadata"]["resourceVersion"]
        last = event.obj if event.type == "DELETED" else event.previous
        return "DELETED", {**last, "metadata": {**last["metadata"], "resourceVersion": version}}
    return None


def error_event(error: ApiError) -> tuple[str, Object]:
    return "ERROR", error.status()


def _bookmark(target: Target, revision: int, annotations: dict[str, str]) -> Object:
    meta: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        meta["annotations"] = annotations
    return {"kind": target.resource.kind, "apiVersion": target.resource.api_version, "metadata": meta}
