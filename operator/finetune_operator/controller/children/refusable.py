"""Changes and deletions that the API server may refuse for good: a policy of the cluster, rights that were taken away."""

import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from typing import TypeVar

from finetune_api.reasons import Reason
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.rights import MissingRights
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, JobState, Observation
from finetune_operator.kube.client import JOBS, Kube
from finetune_operator.kube.errors import REFUSED, api_message

Done = TypeVar("Done")

logger = logging.getLogger(__name__)


class Refusable:
    """Sends what may be refused. What is known of the job is written all the same, and the same is asked for again ever more seldom,
    or within half a minute where a right is lacking."""

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._clock = clock
        self._missing_rights = MissingRights(clock)

    async def attempt(
        self, finetunejob: FineTuneJob, entry: Entry, about: Hashable, what: str, act: Callable[[], Awaitable[Done]]
    ) -> Done | Cause:
        """Return what `act` returns, or why the API server has refused it, in this pass or a short while ago. Raises API_FAILURES.

        Args:
            finetunejob: Whose objects are changed.
            entry: What is remembered of it.
            about: By which another change, which may be taken, is told from this one.
            what: Such as `the Job yelp cannot be changed`.
            act: Sends the request.
        """
        refused = entry.refused
        if refused.cause is not None and refused.holds(about, self._clock()):
            return refused.cause
        try:
            done = await act()
        except REFUSED as error:
            cause = Cause(Reason.SPEC_REFUSED, f"{what} ({api_message(error)})")
            longest = self._missing_rights.longest(finetunejob.key, refused, cause.message)
            refused.note(about, cause, self._clock(), longest=longest)
            logger.warning("%s: %s", finetunejob.key, cause.message)
            return cause
        refused.clear()
        return done

    async def delete_job(
        self, finetunejob: FineTuneJob, job: JobState, entry: Entry, *, after_children: bool = False
    ) -> Cause | None:
        """Delete a Job of the FineTuneJob's. Return why the API server refuses that."""
        return await self.attempt(
            finetunejob,
            entry,
            ("delete", job.uid),
            f"the Job {job.name} cannot be deleted",
            lambda: self._kube.delete(JOBS, finetunejob.namespace, job.name, job.uid, after_children=after_children),
        )


def with_refusal(observed: Observation, refused: Cause | None) -> Observation:
    """The observation with what the API server refuses to change or delete, if it refuses anything."""
    return observed if refused is None else replace(observed, unchanged=refused.message)
