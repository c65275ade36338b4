"""Keeps a cache of the objects of one kind by list and watch: of those with a label or of all, in all namespaces or in several.

Protocol: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from kubernetes.aio.client import ApiException
from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_operator.kube.backoff import backoff
from finetune_operator.kube.client import Kind, Kube
from finetune_operator.kube.errors import API_FAILURES, brief, shared_cause, unexpected
from finetune_operator.kube.object_limit import Worth
from finetune_operator.kube.object_store import ObjectStore
from finetune_operator.kube.pages import whole_list
from finetune_operator.kube.retry import keep_running

_WATCH_SECONDS = 290
SILENCE_SECONDS = 90.0
"""Kubernetes sends a bookmark a minute; a watch that is silent for longer is dead."""
_PAUSE_SECONDS = 0.1
PAGE_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_GONE = 410

logger = logging.getLogger(__name__)


class Informer(ObjectStore):
    """An ObjectStore that is kept up to date.

    `namespaces` have a watch each, all of them one together if it is empty. One that may not be read keeps none of the others back.
    `on_recovery` is called when the API server answers after a failure. `resync_seconds` pass between two lists, read slowly, that heal
    what a watch has missed. All else is ObjectStore's.
    """

    def __init__(
        self,
        kube: Kube,
        kind: Kind,
        *,
        namespaces: Sequence[str] = (),
        label: str | None,
        on_change: Callable[[JsonObject], None],
        resync_seconds: float,
        transform: Callable[[JsonObject], JsonObject] = lambda raw: raw,
        keep: Callable[[JsonObject], bool | None] = lambda _: True,
        keep_deleted: Callable[[JsonObject], bool] = lambda _: False,
        worth: Worth[JsonObject] = lambda _: (True,),
        on_recovery: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            kind.plural,
            label=label,
            on_change=on_change,
            transform=transform,
            keep=keep,
            keep_deleted=keep_deleted,
            worth=worth,
        )
        self._kube = kube
        self._kind = kind
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._selectors = {"labelSelector": label} if label else {}
        self._resync_seconds = resync_seconds
        self._on_recovery = on_recovery
        self._clock = clock
        self._retrying = asyncio.Event()
        self._last_contact = dict.fromkeys(self._namespaces, clock())
        self._current = dict.fromkeys(self._namespaces, -math.inf)
        self._failures = dict.fromkeys(self._namespaces, 0)
        self._unread = set(self._namespaces)
        self._failing = set[str | None]()
        """Of which the last request failed."""
        self._versions: dict[str | None, str] = {}
        """Where the next watch begins. Of a namespace that is not here a list is needed first."""
        self.synced = asyncio.Event()
        """Set when the first list of each namespace has come, or was refused."""

    @property
    def kind(self) -> Kind:
        """What is watched."""
        return self._kind

    def silence(self) -> float:
        """Seconds since the API server last sent anything, a list, an event, a bookmark or a refusal, of the most silent namespace."""
        return self._clock() - min(self._last_contact.values())

    def current(self, namespace: str) -> float:
        """The time of `clock` up to which everything that happened in a namespace is known for sure.

        That is when the last list was asked for, or, by what a watch has brought, as long ago as a watch may be late without being given up.
        """
        if None in self._current:
            return self._current[None]
        return self._current.get(namespace, math.inf)

    def retry(self) -> None:
        """End the pauses after failures: what they came of may be over."""
        self._retrying.set()
        self._retrying = asyncio.Event()

    async def run(self) -> None:
        """List and watch until cancelled; after a failure again, ever more slowly. A list comes only where a watch needs one, and to compare."""
        self._unread = set(self._namespaces)
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                for task, work in (("watch", self._run), ("comparison", self._keep_comparing)):
                    group.create_task(keep_running(f"{task} of {self._kind.plural}", partial(work, namespace)))

    async def _run(self, namespace: str | None) -> None:
        while True:
            try:
                await self._list_and_watch(namespace)
            except Exception as error:  # whatever comes, the operator goes on for all the others
                self._failures[namespace] += 1
                # Only a connection that failed has lost nothing: its watch goes on from where it was.
                if isinstance(error, ApiException) or not isinstance(error, API_FAILURES):
                    self._versions.pop(namespace, None)
                if isinstance(error, ForbiddenException):
                    # An answer: the connection is alive, and to start again would help nobody.
                    self._note_contact(namespace)
                    self._note_read(namespace)
                # A version that is too old by now is part of the protocol.
                if not (isinstance(error, ApiException) and error.status == _GONE):
                    self._failing.add(namespace)
                    what = f"{self._kind.plural} in {namespace}" if namespace else self._kind.plural
                    traceback = unexpected(error, f"watch of {self._kind.plural}")
                    text = "watch of %s failed: %s"
                    logger.warning(text, what, brief(error), exc_info=traceback, extra={"cause": shared_cause(error)})
                pause = backoff(self._failures[namespace], random.random())  # noqa: S311
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(pause, _LONGEST_PAUSE_SECONDS)):
                        await self._retrying.wait()

    async def _list_and_watch(self, namespace: str | None) -> None:
        """Watch from where the last watch came to; list first where that is not known, or the API server does not know it any more."""
        if namespace not in self._versions:
            await self._list(namespace)
        while True:
            await self._watch(namespace)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _list(self, namespace: str | None) -> None:
        asked = self._clock()
        pages = self._kube.list_to_watch(self._kind, namespace, self.read, self._selectors)
        items, version = await whole_list(pages)
        self._note_answer(namespace)
        await self.replace(items, namespace)
        self._versions[namespace] = version
        self._current[namespace] = asked
        self._note_read(namespace)

    async def _watch(self, namespace: str | None) -> None:
        """Take in what one watch brings, until it ends or falls silent.

        An API server has no bookmark to send where nothing happens in its cluster that a version shows. That a connection is dead is found by the next watch.
        """
        events = self._kube.watch(
            self._kind,
            namespace,
            self._versions[namespace],
            seconds=_WATCH_SECONDS,
            on_open=lambda: self._note_answer(namespace),
            **self._selectors,
        )
        silence = asyncio.timeout(SILENCE_SECONDS)
        try:
            async with silence:
                async for event in events:
                    silence.reschedule(asyncio.get_running_loop().time() + SILENCE_SECONDS)
                    self._failures[namespace] = 0
                    self.take(event)
                    self._note_news(namespace)
                    version = event["object"]["metadata"].get("resourceVersion")
                    self._versions[namespace] = version or self._versions[namespace]
        except TimeoutError:
            if not silence.expired():
                raise
            return
        self._note_news(namespace)
        self._failures[namespace] = 0

    async def _keep_comparing(self, namespace: str | None) -> None:
        """Compare with a list now and then, which heals what a watch has missed."""
        while True:
            await asyncio.sleep(self._resync_seconds * random.uniform(0.9, 1.1))  # noqa: S311
            if namespace not in self._versions:
                continue
            try:
                pages = self._kube.pages(self._kind, namespace, self.read, self._selectors, pause=PAGE_PAUSE_SECONDS)
                await self.compare(pages, namespace)
            except Exception as error:  # whatever comes, the operator goes on
                plural, extra = self._kind.plural, {"cause": shared_cause(error)}
                traceback = unexpected(error, f"comparison of {plural}")
                logger.warning("list of %s failed: %s", plural, brief(error), exc_info=traceback, extra=extra)

    def _note_answer(self, namespace: str | None) -> None:
        self._note_contact(namespace)
        if namespace in self._failing:
            self._failing.discard(namespace)
            self._on_recovery()

    def _note_contact(self, namespace: str | None) -> None:
        self._last_contact[namespace] = self._clock()

    def _note_news(self, namespace: str | None) -> None:
        """Note that a watch has brought something. What it is may have been on its way for as long as a silent watch is waited for."""
        self._note_contact(namespace)
        self._current[namespace] = max(self._current[namespace], self._clock() - SILENCE_SECONDS)

    def _note_read(self, namespace: str | None) -> None:
        self._unread.discard(namespace)
        if not self._unread:
            self.synced.set()
