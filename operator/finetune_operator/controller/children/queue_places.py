"""At which place each Workload of a LocalQueue waits, read once for all of its jobs."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from cachetools import LRUCache
from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_operator.job.workload import read_places
from finetune_operator.kube.client import Kind, Kube
from finetune_operator.kube.errors import API_FAILURES, brief, shared_cause
from finetune_operator.kube.one_answer import OneAnswer

_FRESH_SECONDS: Final = 5.0
_FAILED_SECONDS: Final = 60.0
"""After so long a list is asked for again that could not be had."""
_MOST: Final = 100_000
"""Places that are kept, of the queues that were asked for last."""

_Queue = tuple[str, str]
_Places = Mapping[str, int]

logger = logging.getLogger(__name__)


class QueuePlaces:
    """Answers from a list of a few seconds ago: a thousand jobs that wait in a queue cost as many requests as one."""

    def __init__(self, kube: Kube, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._lists: LRUCache[_Queue, tuple[float, _Places]] = LRUCache(_MOST, getsizeof=lambda kept: 1 + len(kept[1]))
        """Until when a list counts, and the place of each Workload in it."""
        self._reading: OneAnswer[_Queue, _Places] = OneAnswer()

    async def of(self, kind: Kind, namespace: str, queue: str) -> _Places:
        """The places of those that wait in a LocalQueue; none where the visibility API is not served, or not for us."""
        asked = namespace, queue
        until, places = self._lists.get(asked, (-math.inf, {}))
        if self._clock() < until:
            return places
        return await self._reading.to(asked, partial(self._read, kind, namespace, queue))

    async def _read(self, kind: Kind, namespace: str, queue: str) -> _Places:
        places: _Places = {}
        holds = _FRESH_SECONDS
        try:
            found = await self._kube.get(kind, namespace, queue, subresource="pendingworkloads")
            places = read_places((found or {}).get("items") or ())
        except API_FAILURES as error:
            # Kueue serves this API itself: where it does not, the job is looked after all the same.
            holds = _FAILED_SECONDS
            if not isinstance(error, ForbiddenException):
                text = "the place in the queue %s/%s is not known: %s"
                logger.warning(text, namespace, queue, brief(error), extra={"cause": shared_cause(error)})
        if len(places) < _MOST:
            self._lists[namespace, queue] = self._clock() + holds, places
        return places
