"""What the operator makes once a namespace, for all of its jobs: the authority of the report endpoint, a NetworkPolicy, a cache's claim."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from cachetools import TTLCache

from finetune_api.base import JsonObject
from finetune_operator.controller.children.create import find_or_create
from finetune_operator.job.observation import Cause
from finetune_operator.job.ownership import changed, conflict
from finetune_operator.kube.client import CONFIG_MAPS, NETWORK_POLICIES, PVCS, Kind, Kube
from finetune_operator.kube.errors import REFUSED_FOR_GOOD
from finetune_operator.kube.one_answer import OneAnswer
from finetune_operator.manifests import Manifests
from finetune_operator.manifests.metadata import is_shared

Wanted = tuple[Kind, JsonObject]

BEGIN_SECONDS: Final = 60.0
"""What somebody may have deleted is looked up again when a job begins, if that is longer ago."""
RESTORE_SECONDS: Final = 1.0
"""And for an attempt that does not start: of many of a namespace one looks."""
_MOST: Final = 10_000
_REMEMBER_SECONDS: Final = 3600.0


class SharedObjects:
    """Makes them when they are first needed, and remembers that they are there."""

    def __init__(self, kube: Kube, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._seen: TTLCache[tuple[str, str, str], tuple[object, float]] = TTLCache(_MOST, _REMEMBER_SECONDS, clock)
        """What an object held and when it was looked at, by namespace, plural and name."""
        self._making: OneAnswer[tuple[object, ...], Cause | None] = OneAnswer()

    async def make_missing(self, namespace: str, wanted: Sequence[Wanted], *, known_for: float) -> Cause | None:
        """Make what is missing. Return why another's object is in the way. Raises API_FAILURES.

        Args:
            namespace: Theirs.
            wanted: What is to be there, and hold the `data` that it has here.
            known_for: So many seconds what was seen is taken to be there still. A job that runs has it.
        """
        for kind, manifest in wanted:
            if self._is_there(kind, manifest, known_for):
                continue
            # Of many jobs that begin at once one asks, and the others wait for its answer.
            what = *_place(kind, manifest), str(manifest.get("data"))
            in_the_way = await self._making.to(what, partial(self._make, kind, manifest))
            if in_the_way is not None:
                return in_the_way
        return None

    async def _make(self, kind: Kind, manifest: JsonObject) -> Cause | None:
        live = await find_or_create(self._kube, kind, manifest)
        if not is_shared(live, manifest):
            return conflict(live, manifest["kind"])
        if live.get("data") != manifest.get("data"):
            try:
                await self._kube.apply(kind, manifest)
            except REFUSED_FOR_GOOD:
                # Somebody made it immutable: that is no fault of this job's, and ends none.
                return changed(live, manifest["kind"])
        self._seen[_place(kind, manifest)] = manifest.get("data"), self._clock()
        return None

    def doubt(self, namespace: str) -> None:
        """Look again at what was seen in a namespace: somebody may have written over it."""
        for place in [each for each in self._seen if each[0] == namespace]:
            self._seen.pop(place, None)

    def _is_there(self, kind: Kind, manifest: JsonObject, known_for: float) -> bool:
        seen = self._seen.get(_place(kind, manifest))
        return seen is not None and seen[0] == manifest.get("data") and self._clock() - seen[1] <= known_for


def of_namespace(children: Manifests) -> list[Wanted]:
    """Those of a job's children that belong to its namespace."""
    kinds = (CONFIG_MAPS, children.authority), (NETWORK_POLICIES, children.isolation), (PVCS, children.cache)
    return [(kind, manifest) for kind, manifest in kinds if manifest is not None]


def _place(kind: Kind, manifest: JsonObject) -> tuple[str, str, str]:
    return manifest["metadata"]["namespace"], kind.plural, manifest["metadata"]["name"]
