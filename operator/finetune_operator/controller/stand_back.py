"""Two installations that serve the same namespace, each with a Lease of its own: the one that has no Job of a job stands back from it.

Otherwise each would write its status over the other's for ever. What somebody else writes is believed no more for that, and a job of
which this process has the Job is never left: who may write statuses could else have its GPU time for nothing.
"""

import logging
import time
from collections.abc import Callable

from finetune_api.reasons import Reason
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.contest import Contest
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.status_writer import CHANGED_SECONDS
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Observation
from finetune_operator.kube import server_time
from finetune_operator.kube.client import FINETUNEJOBS, Kube
from finetune_operator.kube.events import post
from finetune_operator.metrics.instruments import CONTESTED
from finetune_operator.status.announcements.job_event import contest_event

logger = logging.getLogger(__name__)


class StandBack:
    """Decides from which jobs this process stands back, and for how long."""

    def __init__(self, kube: Kube, finetunejobs: FineTuneJobs, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._finetunejobs = finetunejobs
        self._clock = clock

    async def left_alone(self, finetunejob: FineTuneJob, entry: Entry) -> float:
        """Seconds for which nothing is to be done for a job; 0 if it is this process'. Raises API_FAILURES.

        A run of a job that was left alone may have ended meanwhile: this process goes by that from then on. It is asked for before
        anything is made, since the Job of that run may be gone by now.
        """
        left = entry.contest.left(self._clock())
        if left > 0 or not (entry.contest.rounds and entry.own.falsified) or finetunejob.status.attempts:
            return left
        return CHANGED_SECONDS if await self._go_by_its_end(finetunejob) else 0.0

    async def decide(self, finetunejob: FineTuneJob, observed: Observation, entry: Entry) -> float | None:
        """Return the seconds for which a job is left to somebody else; None if this process goes on with it. Raises API_FAILURES."""
        if finetunejob.terminal or observed.under_way.job is not None:
            entry.contest = Contest()
            return None
        if not self._is_lost(finetunejob, observed, entry):
            return None
        entry.contest.stand_back(self._clock())
        left = entry.contest.left(self._clock())
        logger.warning("%s: somebody else writes its status, and it is left alone for %.0f s", finetunejob.key, left)
        CONTESTED.labels(finetunejob.namespace).inc()
        await post(self._kube, contest_event(finetunejob, server_time.now()))
        if not finetunejob.status.attempts:
            await self._go_by_its_end(finetunejob)
        return left

    def _is_lost(self, finetunejob: FineTuneJob, observed: Observation, entry: Entry) -> bool:
        if entry.own.falsified:
            return entry.contest.note(str(entry.packed["metadata"]["resourceVersion"]), self._clock())
        # Nothing new to say. What pods of a Job of ours have used, which somebody else has taken over, is written now and then.
        blocked = observed.blocked
        in_the_way = blocked is not None and blocked.reason == Reason.NAME_CONFLICT
        return entry.contest.rounds > 0 and in_the_way and not finetunejob.status.attempts

    async def _go_by_its_end(self, finetunejob: FineTuneJob) -> bool:
        """Take over how somebody else's run of the job ended: it is not run again. Return whether it has ended."""
        live = await self._kube.get(FINETUNEJOBS, finetunejob.namespace, finetunejob.name)
        return live is not None and self._finetunejobs.go_by_its_end(finetunejob.key, live)
