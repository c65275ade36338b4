"""The Leases of all shards: none works while another one holds its Lease that parts the namespaces otherwise.

So two processes never serve the same namespace while their number changes, in whichever order the pods of the old and of the new
number end and begin: each has written its own Lease before it looks at those of the others.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from finetune_api.base import JsonObject
from finetune_operator.kube.client import Kube
from finetune_operator.kube.errors import API_FAILURES, brief, shared_cause
from finetune_operator.kube.lease import LEASES, Holder, Others
from finetune_operator.kube.server_time import boot_time

LABEL_OF: Final = "finetune.dev/leases-of"
ANNOTATION_SHARDS: Final = "finetune.dev/shards"

_LOOK_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Siblings:
    """Looks at the Leases that have the same label."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        base: str,
        shards: int,
        seconds: float,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        """`base` is the first shard's Lease, and `seconds` for how long one holds that does not say it."""
        self._kube = kube
        self._namespace = namespace
        self._base = base
        self._shards = str(shards)
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[str, Others] = {}

    @property
    def metadata(self) -> JsonObject:
        """What a Lease has so that others know how its holder parts the namespaces."""
        return {"labels": {LABEL_OF: self._base}, "annotations": {ANNOTATION_SHARDS: self._shards}}

    async def agree(self) -> None:
        """Wait until none is held by a process of another number of shards."""
        while True:
            try:
                other = await self._other_number()
                if other is None:
                    return
                logger.warning("waiting for %s, which is of another number of shards, to end", other)
            except API_FAILURES as error:
                text, extra = "the Leases of the other shards cannot be read: %s", {"cause": shared_cause(error)}
                logger.warning(text, brief(error), extra=extra)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _other_number(self) -> str | None:
        leases, _ = await self._kube.list(LEASES, self._namespace, labelSelector=f"{LABEL_OF}={self._base}")
        for lease in leases:
            metadata = lease["metadata"]
            seen = self._seen.setdefault(metadata["name"], Others())
            seen.look(Holder.of(lease), self._clock())
            shards = (metadata.get("annotations") or {}).get(ANNOTATION_SHARDS)
            if shards != self._shards and seen.left(self._clock(), self._seconds):
                return Holder.of(lease).identity
        return None
