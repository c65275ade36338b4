"""Kubernetes Events, as `kubectl describe` and `kubectl get events` show them."""

import logging
from datetime import UTC, datetime
from typing import Literal

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import EVENTS, Client, Object

logger = logging.getLogger(__name__)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, as metav1.Time is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime:
    """The reverse of `timestamp`; fractions of a second are kept."""
    return datetime.fromisoformat(text)


class Recorder:
    """Writes Events in the name of one component."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}

    async def record(self, about: Object, reason: str, message: str) -> None:
        """Write one Normal Event.

        What fails here is logged only: an Event is never worth failing the work that it tells of.
        """
        await self._write(about, reason, message, "Normal")

    async def warn(self, about: Object, reason: str, message: str) -> None:
        """Write one Warning, as `record` does."""
        await self._write(about, reason, message, "Warning")

    async def _write(self, about: Object, reason: str, message: str, kind: Literal["Normal", "Warning"]) -> None:
        metadata = about["metadata"]
        now = timestamp(datetime.now(UTC))
        namespace = metadata.get("namespace") or "default"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "namespace": metadata.get("namespace", ""),
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "reason": reason,
            # The API server refuses longer ones.
            "message": message[:1024],
            "type": kind,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": self._source,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        try:
            await self._client.create(EVENTS.path(namespace), event)
        except (ApiException, ClientError, TimeoutError) as error:
            logger.debug("event %s about %s was not written: %s", reason, metadata["name"], error)
