"""Kopf: it watches FineTuneJobs, logs in, and starts and stops. Nothing is decided here, and nothing else imports Kopf.

Handlers of events keep no state on the objects: no finalizer and no annotation, so that GitOps sees no drift and
deletion works while the operator is down.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf
from aiohttp.connector import Connection
from kubernetes.aio.client import Configuration

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION
from finetune_operator.controller.cache import keep
from finetune_operator.kube.bounded_json import read_event, read_list, warn_once
from finetune_operator.kube.client import FINETUNEJOBS
from finetune_operator.kube.request_counts import counting

OnObject = Callable[[JsonObject], None]

_REQUEST_SECONDS = 30
_WATCH_SECONDS = 600
_SILENCE_SECONDS = 90
_PAGE = 100
_PASSING = (HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE)
"""Kopf ends for good on these, and goes on trying, ever more slowly, on 429. One namespace's administrator can take our
RoleBinding away, which must not end the watches of all the others."""


async def watch_finetunejobs(
    configuration: Configuration,
    namespaces: Sequence[str],
    *,
    on_seen: OnObject,
    on_gone: OnObject,
    started: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Watch in these namespaces, in all if there are none, until `stop` is set. Sets `started`; Kopf has taken SIGTERM and SIGINT then.

    `on_seen` is called with each FineTuneJob that is there or has changed, `on_gone` with each that was deleted.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        return session(await credentials(configuration))

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        raw = dict(event["object"])
        if event["type"] == "DELETED":
            on_gone(raw)
        else:
            on_seen(raw)

    await kopf.operator(
        registry=registry,
        settings=_settings(),
        namespaces=namespaces,
        clusterwide=not namespaces,
        ready_flag=started,
        stop_flag=stop,
    )


def _settings() -> kopf.OperatorSettings:
    """Kopf's settings: watch one kind, and leave everything else alone."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.enforce_retry_after = True
    settings.watching.server_timeout = _WATCH_SECONDS
    settings.watching.inactivity_timeout = _SILENCE_SECONDS
    settings.watching.chunk_size = _PAGE
    return settings


class BoundedResponse(aiohttp.ClientResponse):
    """An answer as `bounded_json` reads it, with objects as our cache keeps them: Kopf would parse it whole, hold all of it, and end
    for good on one object that it dies of."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """See aiohttp."""
        await super().start(connection)
        if self.status in _PASSING:
            self.status = HTTPStatus.TOO_MANY_REQUESTS
        if self.url.query.get("watch") == "true" and self.status == 200:
            self.content = _BoundedEvents(self.content)  # type: ignore[assignment]
        return self

    async def json(self, **others: Any) -> Any:
        """The answer's JSON."""
        if self.status != 200:
            return await super().json(**others)
        return await read_list(self.content.iter_any(), FINETUNEJOBS.longest, _keep_object)


def _keep_object(raw: JsonObject) -> JsonObject | None:
    """What Kopf gets of an element of a list. Discovery lists resources, which are no objects, and are left as they are."""
    return keep(raw) if "metadata" in raw else raw


class _BoundedEvents:
    """The stream of a watch, whose lines are read and written again."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """As a StreamReader's: whole lines here."""
        buffer = b""
        async for chunk in self._stream.iter_chunked(size):
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in filter(None, lines):
                try:
                    event = await read_event(line, FINETUNEJOBS.longest)
                    if event["type"] in ("ADDED", "MODIFIED"):
                        event = {**event, "object": keep(event["object"])}
                except Exception as error:  # noqa: BLE001 - whatever an object may hold, the others go on
                    warn_once("an event of Kopf's watch", f"cannot be read: {error}")
                    continue
                if event["object"] is not None:
                    yield json.dumps(event).encode() + b"\n"
                await asyncio.sleep(0)  # Large events must not keep the loop from everything else.

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def session(info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """Kopf's connection to the API server: as Kopf itself makes it, but for how answers are read."""
    made = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        response_class=BoundedResponse,
        trace_configs=[counting()],
    )
    return kopf.AiohttpSession(server=info.server, aiohttp_session=made)


async def credentials(configuration: Configuration) -> kopf.ConnectionInfo:
    """The official client's way into the cluster, for Kopf. Called again when the API server no longer takes it."""
    header = await configuration.get_api_key_with_prefix("BearerToken")
    scheme, _, token = (header or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme.capitalize() or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
    )
