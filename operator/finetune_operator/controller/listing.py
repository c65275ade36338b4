"""Lists the FineTuneJobs: where a watch of them begins, and now and then, to find what it missed."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import aiohttp
from kubernetes.aio.client.exceptions import ForbiddenException, NotFoundException

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.kube.backoff import backoff
from finetune_operator.kube.client import Kube
from finetune_operator.kube.errors import brief, shared_cause, unexpected
from finetune_operator.kube.informer import PAGE_PAUSE_SECONDS
from finetune_operator.kube.retry import retry_until_done

LONGEST_BEHIND_SECONDS: Final = 120.0
"""After so long a new watch must have brought what the last one has missed."""

_STEADY_SECONDS: Final = 60.0
"""A watch that lasts so long, which is longer than any pause, ended of something else than the one before."""

logger = logging.getLogger(__name__)


class Listing:
    """Lists those of each namespace, or of all together if there are none named."""

    def __init__(self, kube: Kube, finetunejobs: FineTuneJobs, namespaces: Sequence[str], *, seconds: float) -> None:
        """`seconds` pass between two comparisons. Times are those of the event loop."""
        self._kube = kube
        self._finetunejobs = finetunejobs
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._seconds = seconds
        self._versions: dict[str | None, str] = {}
        """Of the lists after which no watch has begun yet."""
        self._begun: dict[str | None, tuple[float, int]] = {}
        """When the last watch of a namespace began with a list, and how many have in a row, each soon after the one before."""

    async def read(self) -> None:
        """Take in a list of them, before Kopf begins: it looks for its resource once, and the definition must be there by then."""
        await retry_until_done("FineTuneJobs cannot be listed", self._read_all, hint=_hint)

    async def version(self, namespace: str | None) -> str:
        """Return the resourceVersion from which to watch a namespace: that of a list that nothing was watched from yet, or of a new one.

        Kopf asks at once when a watch has ended with 410. An API server that answers so to each one is asked ever more seldom.
        """
        await self._pause(namespace)
        if namespace not in self._versions:
            await retry_until_done(f"FineTuneJobs cannot be listed{_where(namespace)}", partial(self._read, namespace))
        return self._versions.pop(namespace)

    async def _pause(self, namespace: str | None) -> None:
        loop = asyncio.get_running_loop()
        last, in_a_row = self._begun.get(namespace, (-math.inf, 0))
        in_a_row = in_a_row + 1 if loop.time() - last < _STEADY_SECONDS else 0
        if in_a_row:
            await asyncio.sleep(backoff(in_a_row, random.random()))  # noqa: S311
        self._begun[namespace] = loop.time(), in_a_row

    async def _read_all(self) -> None:
        """List those of each namespace. Raises one of API_FAILURES unless one may be read; the others are then tried again by their watches."""
        failures = []
        for namespace in self._namespaces:
            try:
                await self._read(namespace)
            except ForbiddenException as error:
                failures.append(error)
                logger.warning("FineTuneJobs cannot be listed%s (%s)", _where(namespace), brief(error))
        if len(failures) == len(self._namespaces):
            raise failures[0]

    async def _read(self, namespace: str | None) -> None:
        self._versions[namespace] = await self._finetunejobs.list(self._kube, namespace)

    async def keep(self, on_behind: Callable[[], None]) -> None:
        """Compare with a slow list now and then, until cancelled. `on_behind` is called where Kopf's watch has missed something."""
        while True:
            await asyncio.sleep(self._seconds * random.uniform(0.9, 1.1))  # noqa: S311
            for namespace in self._namespaces:
                try:
                    await self._finetunejobs.compare(self._kube, namespace, PAGE_PAUSE_SECONDS)
                except Exception as error:  # whatever comes, the operator goes on for all the others
                    traceback = unexpected(error, "comparison of finetunejobs")
                    where = _where(namespace)
                    text = "list of FineTuneJobs%s failed: %s"
                    logger.warning(text, where, brief(error), exc_info=traceback, extra={"cause": shared_cause(error)})
            if self._finetunejobs.behind():
                on_behind()


def _hint(error: BaseException) -> str:
    """What is probably wrong at a start with a list that fails so."""
    if isinstance(error, NotFoundException):
        return "is their definition installed?"
    if isinstance(error, ForbiddenException):
        return "does a role allow the operator's account to list them?"
    if isinstance(error, aiohttp.ClientError | OSError):
        return (
            "the API server cannot be reached; does a NetworkPolicy keep the operator from it? "
            "The chart's own goes by networkPolicy.apiServerCidrs and networkPolicy.apiServerPorts"
        )
    return ""


def _where(namespace: str | None) -> str:
    return f" in {namespace}" if namespace else ""
