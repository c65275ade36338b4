"""Kopf: it watches FineTuneJobs, and logs in. Nothing is decided here, and nothing else imports Kopf.

Handlers of events keep no state on the objects: no finalizer and no annotation, so that GitOps sees no drift and
deletion works while the operator is down.

Kopf ends for good on what its watch may meet, such as 401, a list that is none, or an error within the watch, and at its end it
cancels every task of its event loop. So it has a thread and a loop of its own, and begins again.
"""

import asyncio
import itertools
import logging
import math
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf
import uvloop
from aiohttp.connector import Connection
from aiohttp.hdrs import RETRY_AFTER
from kubernetes.aio.client import Configuration
from yarl import URL

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION
from finetune_operator.controller.cache import keep
from finetune_operator.kube import fast_json
from finetune_operator.kube.backoff import backoff
from finetune_operator.kube.bounded_json import read_event, warn_once
from finetune_operator.kube.client import FINETUNEJOBS
from finetune_operator.kube.errors import sensible_wait
from finetune_operator.kube.informer import SILENCE_SECONDS
from finetune_operator.kube.request_counts import counting

OnObject = Callable[[JsonObject], None]
OnList = Callable[[str | None], Coroutine[Any, Any, str]]

_REQUEST_SECONDS = 30
_WATCH_SECONDS = 600
_ONE = 1
"""Object of Kopf's list, which is only asked whether it may be read."""
_BACKOFFS = (1, 2, 4, 8)
"""Between tries, and then from the first one on again."""
_AT_A_TIME = 50
"""Lines of a watch before Kopf's loop turns to its other tasks. Each turn gives the interpreter away, which the operator's own loop holds when
it has much to do."""
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 300.0
"""After so long the next end is no consequence of the last one."""

logger = logging.getLogger(__name__)


class KopfWatch:
    """Watches in these namespaces, in all if there are none.

    Where Kopf asks for a list, `on_list` is awaited with the namespace or None, and Kopf gets an empty list of the resourceVersion
    that it returns: what was deleted meanwhile Kopf would not deliver, and of ten thousand objects it makes as many tasks. `on_seen` is called with each
    FineTuneJob that is new or has changed since then, past Kopf, which makes tasks and copies of each; `on_gone` with each that was deleted, by Kopf's handler; `on_news` whenever the
    watch of a namespace brings anything. `on_again` is awaited before Kopf begins again.
    """

    def __init__(
        self,
        configuration: Configuration,
        namespaces: Sequence[str],
        *,
        on_seen: OnObject,
        on_gone: OnObject,
        on_list: OnList,
        on_news: Callable[[str | None], None],
        on_again: Callable[[], Awaitable[None]],
        serves: Callable[[str], bool] = lambda _: True,
        knows: Callable[[JsonObject], bool] = lambda _: False,
    ) -> None:
        """`serves` is whether a namespace is looked at: of others nothing is kept. `knows`, called in Kopf's thread, is whether this very version of an object
        is known already: most are those that we have written ourselves, and need no packing."""
        self._serves = serves
        self._knows = knows
        self._configuration = configuration
        self._namespaces = namespaces
        self._on_seen = on_seen
        self._on_gone = on_gone
        self._on_list = on_list
        self._on_news = on_news
        self._on_again = on_again
        self._stop: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        ends = 0
        while True:
            begun = loop.time()
            why = await self._live()
            ends = ends + 1 if loop.time() - begun < _STEADY_SECONDS else 1
            logger.warning("Kopf's watch has ended: %s; it begins again", why)
            await asyncio.sleep(backoff(ends, random.random(), longest=_LONGEST_PAUSE_SECONDS))  # noqa: S311
            await self._on_again()

    def begin_anew(self) -> None:
        """End Kopf, which then begins again."""
        self._stop()

    async def _live(self) -> str:
        """Run Kopf in a thread until it ends. Return why."""
        loop = asyncio.get_running_loop()

        async def lists(namespace: str | None) -> str:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._on_list(namespace), loop))

        reading = Reading(
            self._serves,
            lists,
            on_news=lambda namespace: loop.call_soon_threadsafe(self._on_news, namespace),
            knows=self._knows,
            on_seen=lambda raw: loop.call_soon_threadsafe(self._on_seen, raw),
        )
        life = _Life(
            self._configuration,
            self._namespaces,
            reading,
            on_gone=lambda raw: loop.call_soon_threadsafe(self._on_gone, raw),
        )
        self._stop = life.stop
        ended = asyncio.wrap_future(life.start())
        try:
            await asyncio.shield(ended)
        except Exception as error:  # noqa: BLE001 - whatever Kopf ends on
            return f"{type(error).__name__} {error}"
        finally:
            life.stop()
        return "it was told to"


class _Life:
    """Kopf from its start to its end, in a thread of its own."""

    def __init__(
        self,
        configuration: Configuration,
        namespaces: Sequence[str],
        reading: "Reading",
        on_gone: Callable[[JsonObject], object],
    ) -> None:
        """`on_gone` is called in that thread, with each object that was deleted."""
        self._configuration = configuration
        self._namespaces = namespaces
        self._reading = reading
        self._on_gone = on_gone
        self._loop = uvloop.new_event_loop()
        self._stopping = asyncio.Event()
        self._ended: Future[None] = Future()

    def start(self) -> Future[None]:
        """Begin. The future ends with Kopf, and has the exception that it ended on."""
        threading.Thread(target=self._run, name="kopf", daemon=True).start()
        return self._ended

    def stop(self) -> None:
        """End it soon. May be called from any thread and at any time."""
        # Its loop is closed a moment before it has ended.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._watch())
        except BaseException as error:  # noqa: BLE001 - the thread has nobody else to tell
            self._ended.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        else:
            self._ended.set_result(None)

    async def _watch(self) -> None:
        # What its tasks end on, Kopf's own end says.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        registry = kopf.OperatorRegistry()

        logins = itertools.count()

        @kopf.on.login(registry=registry)
        async def log_in(**_: Any) -> kopf.AiohttpSession:
            # Kopf logs in again at each 401, at once and for ever.
            again = next(logins)
            await asyncio.sleep(backoff(again, random.random(), longest=_LONGEST_PAUSE_SECONDS) if again else 0)  # noqa: S311
            return session(await credentials(self._configuration), self._reading)

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def on_event(event: kopf.RawEvent, **_: Any) -> None:
            if event["type"] == "DELETED":
                self._on_gone(dict(event["object"]))

        await kopf.operator(
            registry=registry,
            settings=_settings(),
            namespaces=self._namespaces,
            clusterwide=not self._namespaces,
            stop_flag=self._stopping,
        )


def _settings() -> kopf.OperatorSettings:
    """Kopf's settings: watch one kind, and leave everything else alone."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.enforce_retry_after = True
    settings.networking.error_backoffs = _BACKOFFS
    settings.watching.server_timeout = _WATCH_SECONDS
    settings.watching.inactivity_timeout = SILENCE_SECONDS
    settings.watching.chunk_size = _ONE
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.persistence.progress_storage = kopf.StatusProgressStorage()
    return settings


class _NoDiffs(kopf.DiffBaseStorage):
    """Nothing asks how an object differs from before: Kopf would copy and compare each one at each event."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Keep the object as it is."""


@dataclass(frozen=True)
class Reading:
    """What becomes of the answers that Kopf gets. All of it is called in Kopf's thread."""

    serves: Callable[[str], bool]
    """Whether a namespace is looked at."""
    lists: OnList
    """Reads the list that Kopf asks for."""
    on_news: Callable[[str | None], object]
    on_seen: Callable[[JsonObject], object]
    """Takes each object that is new or has changed, packed if it was not known. What Kopf makes of an event costs more than all the rest of it."""
    knows: Callable[[JsonObject], bool] = lambda _: False
    """Whether this very version of an object is known already."""


class BoundedResponse(aiohttp.ClientResponse):
    """An answer as `bounded_json` reads it, with objects as our cache keeps them: Kopf would parse it whole, hold all of it, and end
    for good on one object that it dies of."""

    reading: Reading

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """See aiohttp."""
        await super().start(connection)
        if self.status == HTTPStatus.FORBIDDEN or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # It ends for good on these, and goes on trying on 429. One namespace's administrator can take our RoleBinding away,
            # which must not end the watches of all the others.
            self.status = HTTPStatus.TOO_MANY_REQUESTS
        if self.url.query.get("watch") == "true" and self.status == 200:
            news = partial(self.reading.on_news, _namespace(self.url))
            news()
            self.content = _BoundedEvents(self.content, self.reading, news)  # type: ignore[assignment]
        return self

    @property
    def headers(self) -> Mapping[str, str]:  # type: ignore[override]
        """The answer's headers. Kopf sleeps for as long as `Retry-After` says, deaf to everything, and ends of one that is no number: without
        it Kopf has pauses of its own."""
        headers = self._headers.copy()
        asked = sensible_wait(headers.popone(RETRY_AFTER, ""))
        if asked is not None:
            headers[RETRY_AFTER] = f"{math.ceil(asked)}"
        return headers

    async def json(self, **others: Any) -> Any:
        """The answer's JSON. Of how long to wait the header says enough, see above."""
        if self.status != 200 or not self.url.path.endswith(f"/{PLURAL}"):
            answer = await super().json(**others)
            if self.status >= 400 and isinstance(answer, dict) and isinstance(answer.get("details"), dict):
                answer["details"].pop("retryAfterSeconds", None)
            return answer
        await self.read()
        return {"items": [], "metadata": {"resourceVersion": await self.reading.lists(_namespace(self.url))}}


def _namespace(url: URL) -> str | None:
    """The namespace that a list or watch of FineTuneJobs is of; None if of all."""
    *_, kind, name, _ = ("", "", *url.path.split("/"))
    return name if kind == "namespaces" else None


class _BoundedEvents:
    """The stream of a watch, whose lines are read and written again."""

    def __init__(self, stream: aiohttp.StreamReader, reading: Reading, on_news: Callable[[], object]) -> None:
        self._stream = stream
        self._reading = reading
        self._on_news = on_news

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """As a StreamReader's: whole lines here.

        For what Kopf does not get it gets bookmarks: by these it knows that the watch is alive, and from where to go on when it ends.
        """
        buffer = b""
        async for chunk in self._stream.iter_chunked(size):
            *lines, buffer = (buffer + chunk).split(b"\n")
            bookmark: JsonObject | None = None
            for place, line in enumerate(filter(None, lines)):
                try:
                    event, bookmark = await self._read(line)
                except Exception as error:  # noqa: BLE001 - whatever an object may hold, the others go on
                    warn_once("an event of Kopf's watch", f"cannot be read: {error}")
                    continue
                if event is not None:
                    yield fast_json.dumps(event) + b"\n"
                if place % _AT_A_TIME == _AT_A_TIME - 1:
                    await asyncio.sleep(0)
            if bookmark is not None:
                yield fast_json.dumps(bookmark) + b"\n"
            # Those that are gone come a moment later, by Kopf.
            self._on_news()

    async def _read(self, line: bytes) -> tuple[JsonObject | None, JsonObject | None]:
        """The event, if Kopf gets it, or else a bookmark of it, if it has a version. Raises whatever is wrong with it."""
        event = await read_event(line, FINETUNEJOBS.longest)
        if event["type"] not in ("ADDED", "MODIFIED"):
            return event, None
        raw, reading = event["object"], self._reading
        seen = raw if reading.knows(raw) else keep(raw, reading.serves)
        if seen is not None:
            reading.on_seen(seen)
        version = raw["metadata"].get("resourceVersion")
        if not isinstance(version, str) or not version.isdecimal():
            return None, None
        return None, {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def session(info: kopf.ConnectionInfo, reading: Reading) -> kopf.AiohttpSession:
    """Kopf's connection to the API server: as Kopf itself makes it, but for how answers are read."""
    response = type("Response", (BoundedResponse,), {"reading": reading})
    made = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        response_class=response,
        middlewares=(counting,),
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
