"""The GPU time that the jobs of each namespace have used in the present month, those included that are deleted.

Each job has its own in its status. What is gone with a job stands in a ConfigMap of the operator's namespace, as a sum for each
namespace that never falls within a month: so a job that is deleted while no operator runs counts as well.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from cachetools import TTLCache
from kubernetes.aio.client.exceptions import NotFoundException

from finetune_api.base import JsonObject
from finetune_operator.job.budget import month_of
from finetune_operator.kube import server_time
from finetune_operator.kube.client import CONFIG_MAPS, Kube
from finetune_operator.kube.errors import API_FAILURES, brief

_WRITE_SECONDS: Final = 60.0
_SUM_SECONDS: Final = 1.0
"""For so long a sum over all jobs is taken for the present one: many jobs may come at once."""

logger = logging.getLogger(__name__)

Present = Callable[[], Iterable[tuple[str, tuple[str, int]]]]
"""The namespace of each job that is there, with a month and the GPU-seconds that it used in it."""


class MonthlyUse:
    """Sums by namespace, of the present month."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        present: Present,
        serves: Callable[[str], bool] = lambda _: True,
        clock: Callable[[], datetime] = server_time.now,
    ) -> None:
        """The ConfigMap is `namespace`/`name`; what is in it of namespaces that are not served is another process'."""
        self._serves = serves
        self._kube = kube
        self._namespace, self._name = namespace, name
        self._present = present
        self._clock = clock
        self._gone: Counter[tuple[str, str]] = Counter()
        """By month and namespace."""
        self._written: dict[str, str] = {}
        self._sums: TTLCache[str, Counter[str]] = TTLCache(maxsize=1, ttl=_SUM_SECONDS)

    def used(self, namespace: str) -> int:
        """GPU-seconds of a namespace in the present month."""
        month = month_of(self._clock())
        if month not in self._sums:
            self._sums[month] = self._there(month)
        return self._sums[month][namespace] + self._gone[month, namespace]

    def add_gone(self, namespace: str, used: tuple[str, int]) -> None:
        """Keep what a job has used that is deleted: its month, and the GPU-seconds."""
        month, seconds = used
        if month == month_of(self._clock()):
            self._gone[month, namespace] += seconds
            self._sums.clear()

    async def keep(self) -> None:
        """Write the sums whenever they have changed, until cancelled."""
        while True:
            try:
                await self._write()
            except API_FAILURES as error:
                logger.warning("the use of GPUs by namespace cannot be written down: %s", brief(error))
            await asyncio.sleep(_WRITE_SECONDS)

    async def read(self) -> None:
        """Take in the sums that were written before, be it by another. Without them it goes on by the jobs that are there."""
        try:
            raw = await self._kube.get(CONFIG_MAPS, self._namespace, self._name) or {}
        except API_FAILURES as error:
            logger.warning("the use of GPUs by namespace cannot be read: %s", brief(error))
            return
        self._written = {name: str(text) for name, text in (raw.get("data") or {}).items() if self._serves(name)}
        month = month_of(self._clock())
        there = self._there(month)
        for namespace, text in self._written.items():
            of, _, seconds = text.partition(" ")
            if of == month and seconds.isdecimal():
                missing = int(seconds) - there[namespace]
                self._gone[month, namespace] = max(self._gone[month, namespace], missing)

    async def _write(self) -> None:
        month = month_of(self._clock())
        there = self._there(month)
        namespaces = {*there, *(namespace for of, namespace in self._gone if of == month)}
        sums = {each: there[each] + self._gone[month, each] for each in namespaces}
        wanted = {each: f"{month} {seconds}" for each, seconds in sums.items() if seconds}
        changed: Mapping[str, str | None] = {
            name: wanted.get(name) for name in {*wanted, *self._written} if wanted.get(name) != self._written.get(name)
        }
        if not changed:
            return
        try:
            await self._kube.merge(CONFIG_MAPS, self._namespace, self._name, {"data": changed})
        except NotFoundException:
            metadata = {"namespace": self._namespace, "name": self._name}
            manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": wanted}
            await self._kube.create(CONFIG_MAPS, manifest)
        self._written = wanted

    def _there(self, month: str) -> Counter[str]:
        sums: Counter[str] = Counter()
        for namespace, (of, seconds) in self._present():
            if of == month:
                sums[namespace] += seconds
        return sums
