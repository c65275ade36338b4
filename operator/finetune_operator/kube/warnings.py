"""The Warnings of a namespace, read once for all of its jobs that wait without a reason."""

import logging
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from heapq import nlargest
from typing import Final

from cachetools import LRUCache
from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_api.values import format_time
from finetune_operator.job.warnings import Subject, Warned
from finetune_operator.kube import server_time
from finetune_operator.kube.client import EVENTS, Kube
from finetune_operator.kube.errors import API_FAILURES, api_message
from finetune_operator.kube.events import parse_warning, time_of
from finetune_operator.kube.one_answer import OneAnswer

_KINDS: Final = frozenset({"Pod", "Job", "PersistentVolumeClaim"})
_FRESH_SECONDS: Final = 5.0
_SHARE: Final = 10
"""What took long to read is read seldom: reading takes a tenth of the time at most, however many Events somebody makes."""
_LONGEST_SECONDS: Final = 60.0
"""After so long a list is asked for again that could not be had."""
_MOST: Final = 20_000
"""Warnings that are kept, of one namespace and of all: the lists that were asked for last."""
_MOST_LETTERS: Final = 1024
"""Of a message, as Kubernetes has it for Events of its newer form. Whoever may create Events can write a megabyte into one of the older."""
_LONGEST_NAME: Final = 253
_MOST_OF_ONE: Final = 50
"""Of one object: Kubernetes counts what comes again in one Event."""
_AHEAD: Final = timedelta(minutes=5)
"""So far the clock of a node may be from that of the API server."""

_About = dict[str, list[JsonObject]]

logger = logging.getLogger(__name__)


class Warnings:
    """Answers from a list of a few seconds ago: a thousand jobs of a namespace that wait cost as many requests as one."""

    def __init__(self, kube: Kube, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._lists: LRUCache[str, tuple[float, _About]] = LRUCache(3 * _MOST, getsizeof=_places)
        """Until when a list counts, and its Events by the uid, and by the kind and name, of what they are about."""
        self._reading: OneAnswer[str, _About] = OneAnswer()

    async def about(self, namespace: str, subjects: Iterable[Subject]) -> list[Warned]:
        """The Warnings about these objects, such as that a quota keeps a Job's pods from being made. Raises API_FAILURES.

        None of them where Events may not be read: they explain a job, which goes on and has its status without them.
        """
        until, found = self._lists.get(namespace, (-math.inf, {}))
        if self._clock() >= until:
            found = await self._reading.to(namespace, partial(self._read, namespace, found))
        pairs = [(event, subject) for subject in subjects for event in found.get(_place(subject), ())]
        warned = [each for event, subject in pairs if (each := parse_warning(event, subject)) is not None]
        # Anybody can write any time into one, such as one that nothing is newer than for a thousand years.
        latest = server_time.now() + _AHEAD
        return [each for each in warned if each.seen <= latest] or warned

    async def _read(self, namespace: str, before: _About) -> _About:
        """Read the list of a namespace, and say until when it counts. Where that fails, the one `before` does for a while."""
        begun = self._clock()
        try:
            found = await self._list(namespace)
        except API_FAILURES:
            took = self._clock() - begun
            self._lists[namespace] = self._clock() + max(_FRESH_SECONDS, min(_SHARE * took, _LONGEST_SECONDS)), before
            raise
        self._lists[namespace] = self._clock() + max(_FRESH_SECONDS, _SHARE * (self._clock() - begun)), found
        return found

    async def _list(self, namespace: str) -> _About:
        events: deque[JsonObject] = deque(maxlen=_MOST)

        def read(raw: JsonObject) -> None:
            if (event := _trim(raw)) is not None:
                events.append(event)

        try:
            await self._kube.list(EVENTS, namespace, read, fieldSelector="type=Warning")
        except ForbiddenException as error:
            logger.warning("Warnings in %s cannot be read: %s", namespace, api_message(error))
            return {}
        found: _About = defaultdict(list)
        for event in events:
            about = event["involvedObject"]
            found[about.get("uid", "")].append(event)
            found[f"{about['kind']}/{about.get('name')}"].append(event)
        latest = format_time(server_time.now() + _AHEAD)
        return {place: _newest(alike, latest) for place, alike in found.items()}


def _places(kept: tuple[float, _About]) -> int:
    """How much a list counts: each Event stands at two places."""
    return 1 + sum(map(len, kept[1].values()))


def _newest(events: list[JsonObject], latest: str) -> list[JsonObject]:
    """The newest of those about one object: thousands of them would have to be read for each job that asks."""
    if len(events) <= _MOST_OF_ONE:
        return events
    return nlargest(_MOST_OF_ONE, events, key=lambda event: (time_of(event) <= latest, time_of(event)))


def _place(subject: Subject) -> str:
    return subject.uid or f"{subject.kind}/{subject.name}"


def _trim(raw: JsonObject) -> JsonObject | None:
    """What is read of an Event about a child; None for one about anything else."""
    about = raw.get("involvedObject") or {}
    if about.get("kind") not in _KINDS:
        return None
    names = ("series", "lastTimestamp", "eventTime", "count")
    own = {name: about[name] for name in ("kind", "name", "uid") if name in about}
    if any(len(value) > _LONGEST_NAME for value in own.values()):
        return None
    texts = {name: raw[name][:_MOST_LETTERS] for name in ("reason", "message") if raw.get(name)}
    return {**{name: raw[name] for name in names if name in raw}, **texts, "involvedObject": own}
