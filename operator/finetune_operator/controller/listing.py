"""Lists the FineTuneJobs: before Kopf's watch of them begins, and again each minute, to find what it missed."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.kube.client import Kube
from finetune_operator.kube.errors import API_FAILURES, brief
from finetune_operator.kube.retry import retry_until_done

_CHECK_SECONDS = 60.0
LONGEST_BEHIND_SECONDS = 120.0
"""For so long Kopf's watch may be behind the lists; then it begins anew."""

logger = logging.getLogger(__name__)


class Listing:
    """Lists those of each namespace, or of all together if there are none named."""

    def __init__(self, kube: Kube, finetunejobs: FineTuneJobs, namespaces: Sequence[str]) -> None:
        self._kube = kube
        self._finetunejobs = finetunejobs
        self._namespaces: Sequence[str | None] = namespaces or (None,)

    async def read(self) -> None:
        """Take in a list of them, before Kopf begins: it looks for its resource once, and the definition must be there by then."""
        await retry_until_done("FineTuneJobs cannot be listed; is their definition installed?", self._read)

    async def _read(self) -> None:
        """List those of each namespace. Raises one of API_FAILURES unless one may be read; the others are then tried again by `keep`."""
        failures = []
        for namespace in self._namespaces:
            try:
                await self._finetunejobs.check(self._kube, namespace)
            except ForbiddenException as error:
                failures.append(error)
                logger.warning("FineTuneJobs cannot be listed%s (%s)", _where(namespace), brief(error))
        if len(failures) == len(self._namespaces):
            raise failures[0]

    async def keep(self, on_behind: Callable[[], None]) -> None:
        """List again each minute, until cancelled. `on_behind` is called where Kopf's watch has missed something for too long."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for namespace in self._namespaces:
                try:
                    await self._finetunejobs.check(self._kube, namespace)
                except Exception as error:  # whatever comes, the operator goes on for all the others
                    unexpected = None if isinstance(error, API_FAILURES) else error
                    where = _where(namespace)
                    logger.warning("list of FineTuneJobs%s failed: %s", where, brief(error), exc_info=unexpected)
            if self._finetunejobs.behind() > LONGEST_BEHIND_SECONDS:
                on_behind()


def _where(namespace: str | None) -> str:
    return f" in {namespace}" if namespace else ""
