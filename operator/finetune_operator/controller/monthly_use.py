"""The GPU time that the jobs of each namespace have used in the present month, those included that are deleted.

Each job has its own in its status, and what a status has more than before is added as soon as it is seen. The sums stand in a ConfigMap of
the operator's namespace as well, and never fall within a month: so a job that is deleted while no operator runs counts too.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from kubernetes.aio.client.exceptions import NotFoundException

from finetune_api.base import JsonObject
from finetune_operator.job.budget import month_of, next_month
from finetune_operator.kube import server_time
from finetune_operator.kube.client import CONFIG_MAPS, Kube
from finetune_operator.kube.errors import API_FAILURES, brief, shared_cause

_WRITE_SECONDS: Final = 60.0
_MOST_DIGITS: Final = 18
"""Of a sum: Python reads no number of thousands of them, and so many seconds are no sum of ours."""

logger = logging.getLogger(__name__)


class MonthlyUse:
    """Sums by namespace, of the present month."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        serves: Callable[[str], bool] = lambda _: True,
        clock: Callable[[], datetime] = server_time.now,
    ) -> None:
        """The ConfigMap is `namespace`/`name`; what is in it of namespaces that are not served is another process'."""
        self._serves = serves
        self._kube = kube
        self._namespace, self._name = namespace, name
        self._clock = clock
        self._sums: dict[str, Counter[str]] = {}
        """By month and namespace: of the present month and, where clocks differ, of the next."""
        self._found: dict[str, Counter[str]] = {}
        """The same by the jobs that were seen alone."""
        self._written: dict[str, str] = {}
        self._is_read = False
        """Whether what stands there is in the sums. Before, nothing is written: it would take away what deleted jobs have used."""

    def used(self, namespace: str) -> int:
        """GPU-seconds of a namespace in the present month."""
        month = month_of(self._clock())
        return max(sums.get(month, Counter())[namespace] for sums in (self._sums, self._found))

    def add(self, namespace: str, month: str, seconds: int, is_found: bool) -> None:
        """Add what the status of a job has more of a month than it had. Anybody may have written it: of far months nothing is kept.

        What a job has that is found only now, such as one of a namespace that could not be listed before, is in the sums that were read.
        """
        now = self._clock()
        if month in (month_of(now), month_of(next_month(now))):
            self._found.setdefault(month, Counter())[namespace] += seconds
            self._sums.setdefault(month, Counter())[namespace] += 0 if is_found and self._is_read else seconds

    async def keep(self) -> None:
        """Write the sums whenever they have changed, until cancelled."""
        while True:
            if not self._is_read:
                await self.read()
            try:
                if self._is_read:
                    await self._write()
            except API_FAILURES as error:
                text, extra = "the use of GPUs by namespace cannot be written down: %s", {"cause": shared_cause(error)}
                logger.warning(text, brief(error), extra=extra)
            await asyncio.sleep(_WRITE_SECONDS)

    async def read(self) -> None:
        """Take in the sums that were written before, be it by another. Until they can be read, it goes on by the jobs that are there."""
        self._is_read = False
        try:
            raw = await self._kube.get(CONFIG_MAPS, self._namespace, self._name) or {}
        except API_FAILURES as error:
            text, extra = "the use of GPUs by namespace cannot be read: %s", {"cause": shared_cause(error)}
            logger.warning(text, brief(error), extra=extra)
            return
        self._written = {name: str(text) for name, text in (raw.get("data") or {}).items() if self._serves(name)}
        month = month_of(self._clock())
        sums = self._sums.setdefault(month, Counter())
        for namespace, text in self._written.items():
            of, _, seconds = text.partition(" ")
            if of == month and len(seconds) <= _MOST_DIGITS and seconds.isdecimal():
                sums[namespace] = max(sums[namespace], int(seconds))
        self._is_read = True

    async def _write(self) -> None:
        month = month_of(self._clock())
        self._sums = {of: sums for of, sums in self._sums.items() if of >= month}
        self._found = {of: sums for of, sums in self._found.items() if of >= month}
        wanted = {each: f"{month} {seconds}" for each in self._sums.get(month, ()) if (seconds := self.used(each))}
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
