"""Writes the status of a FineTuneJob where it differs, and an Event where its phase does."""

import logging
import time
from datetime import datetime

from kubernetes.aio.client.exceptions import ConflictException, NotFoundException

from finetune_api.status import FineTuneJobStatus
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_operator.controller.cache import Entry, FineTuneJobs
from finetune_operator.job.finetunejob import FineTuneJob, Key
from finetune_operator.kube.client import FINETUNEJOBS, Kube
from finetune_operator.kube.events import post
from finetune_operator.status.compute import compare, to_manifest
from finetune_operator.status.phase_event import phase_event

_CLOCK_SECONDS = 30.0
"""Least time between two writes that change the time of the last report only."""
_CONFLICT_SECONDS = 0.1

logger = logging.getLogger(__name__)


class StatusWriter:
    """Writes numbers at most every `interval` seconds, and anything else at once."""

    def __init__(self, kube: Kube, finetunejobs: FineTuneJobs, interval: float) -> None:
        self._kube = kube
        self._finetunejobs = finetunejobs
        self._interval = interval

    async def write(
        self, finetunejob: FineTuneJob, status: FineTuneJobStatus, entry: Entry, now: datetime
    ) -> float | None:
        """Write the status where it differs. Return the seconds after which to try again, or None."""
        change = compare(finetunejob.status, status)
        if not change.any:
            return None
        if not change.urgent and entry.status_written is not None:
            interval = _CLOCK_SECONDS if change.only_clock else self._interval
            wait = entry.status_written + interval - time.monotonic()
            if wait > 0:
                return wait
        try:
            written = await self._kube.replace_status(FINETUNEJOBS, _manifest(finetunejob, status))
        except ConflictException:
            await self._refresh(finetunejob.key)
            return _CONFLICT_SECONDS
        except NotFoundException:
            self._finetunejobs.forget(finetunejob.key)
            return None
        entry.status_written = time.monotonic()
        self._finetunejobs.update(written)
        event = phase_event(finetunejob, status, now)
        if event is not None:
            logger.info("%s: %s: %s", finetunejob.key, status.phase, status.message)
            await post(self._kube, event)
        return None

    async def _refresh(self, key: Key) -> None:
        live = await self._kube.get(FINETUNEJOBS, key.namespace, key.name)
        if live is None:
            self._finetunejobs.forget(key)
        else:
            self._finetunejobs.update(live)


def _manifest(finetunejob: FineTuneJob, status: FineTuneJobStatus) -> dict[str, object]:
    # With the resourceVersion that the status was computed from, so that nothing older overwrites anything newer. And
    # without the rest, which the API server leaves as it is: the spec may be one that cannot be read.
    metadata = {
        "namespace": finetunejob.namespace,
        "name": finetunejob.name,
        "uid": finetunejob.uid,
        "resourceVersion": finetunejob.resource_version,
    }
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": to_manifest(status)}
