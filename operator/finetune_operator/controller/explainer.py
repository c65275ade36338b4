"""Asks the API server for the Warnings that say why a Job waits, where its pods do not explain it."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.entry import Entry
from finetune_operator.job.claims import claim_subjects
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, Observation
from finetune_operator.job.warnings import WarningQuery, newest_answer, why_unbound
from finetune_operator.kube.client import PVCS, Kube
from finetune_operator.kube.errors import API_FAILURES, brief, shared_cause
from finetune_operator.kube.warnings import Warnings
from finetune_operator.status.waiting.why_waiting import unexplained

logger = logging.getLogger(__name__)


class Explainer:
    """Reads only. An answer holds for a while, and none is asked for before that is over."""

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._warnings = Warnings(kube, clock)
        self._clock = clock

    async def explain(
        self, finetunejob: FineTuneJob, observed: Observation, spec: FineTuneJobSpec, entry: Entry, now: datetime
    ) -> Observation:
        """Return the observation of the Job of this spec with what is in its way, where the pods do not say it themselves."""
        asked = unexplained(observed, spec, claim_subjects(finetunejob, spec), now)
        if asked is None:
            return observed
        if not entry.obstacle.holds(asked, self._clock()):
            entry.obstacle.note(asked, await self._answer(finetunejob, asked, entry), self._clock())
        return replace(observed, blocked=entry.obstacle.cause)

    async def _answer(self, finetunejob: FineTuneJob, asked: WarningQuery, entry: Entry) -> Cause | None:
        """The Warning that explains a wait, or what a claim of the job's own shows where none does."""
        namespace = finetunejob.namespace
        try:
            answer = newest_answer(asked, await self._warnings.about(namespace, asked.subjects))
        except API_FAILURES as error:
            # Events may be kept apart from all else, and be gone alone. What they told last still holds, as far as anybody knows.
            text = "%s: why it waits is not known: %s"
            logger.warning(text, finetunejob.key, brief(error), extra={"cause": shared_cause(error)})
            return entry.obstacle.cause if entry.obstacle.about == asked else None
        own = next((each for each in asked.subjects if each.name == finetunejob.names.claim), None)
        if answer is not None or own is None:
            return answer
        # That there is no StorageClass at all is no Warning.
        live = await self._kube.get(PVCS, namespace, own.name)
        return None if live is None else why_unbound(own, live)
