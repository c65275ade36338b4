"""Kubernetes Events, as `kubectl describe` and `kubectl get events` show them."""

import logging
import secrets
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Literal

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import EVENTS, Client, Object

logger = logging.getLogger(__name__)

_REMEMBERED = 1000
# The API server refuses longer messages.
_MESSAGE_LENGTH = 1024


def timestamp(moment: datetime) -> str:
    """Return a time in RFC 3339 with whole seconds, the format of metav1.Time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime:
    """Parse a time in RFC 3339, with fractions of a second if it has any."""
    return datetime.fromisoformat(text)


class Recorder:
    """Writes Events of one component. A repeated Event raises the count of the first."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._written: OrderedDict[tuple[str, str, str], tuple[str, int]] = OrderedDict()

    async def record(self, about: Object, reason: str, message: str) -> None:
        """Write one Normal Event.

        An error is only logged: the work that an Event reports must not fail because of it.
        """
        await self._write(about, reason, message, "Normal")

    async def warn(self, about: Object, reason: str, message: str) -> None:
        """Write one Warning, as `record` does."""
        await self._write(about, reason, message, "Warning")

    async def _write(self, about: Object, reason: str, message: str, kind: Literal["Normal", "Warning"]) -> None:
        known = (about["metadata"]["uid"], reason, message)
        path, count = self._written.pop(known, ("", 0))
        now = datetime.now(UTC)
        try:
            if path:
                await self._client.patch(path, {"count": count + 1, "lastTimestamp": timestamp(now)})
            else:
                event = _event(about, reason, message, kind, self._source, now)
                created = await self._client.create(EVENTS.path(event["metadata"]["namespace"]), event)
                path = EVENTS.path_of(created)
        except (ApiException, ClientError, TimeoutError) as error:
            logger.debug("event %s about %s was not written: %s", reason, about["metadata"]["name"], error)
            return
        self._written[known] = path, count + 1
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)


def _event(about: Object, reason: str, message: str, kind: str, source: Object, now: datetime) -> Object:
    metadata = about["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{secrets.token_hex(8)}",
            "namespace": metadata.get("namespace") or "default",
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "reason": reason,
        "message": message[:_MESSAGE_LENGTH],
        "type": kind,
        "count": 1,
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "source": source,
        "reportingComponent": source["component"],
        "reportingInstance": source.get("host", ""),
    }
