"""The second verb of a pass: a job has its profile, and the children that its spec asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from finetune_api.reasons import Reason
from finetune_api.status import FineTuneJobStatus
from finetune_operator.controller.blocked import LONGEST_SECONDS, BlockedJobs
from finetune_operator.controller.children.ensure import Children
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.observer import about_children
from finetune_operator.controller.profile_keeper import ProfileKeeper
from finetune_operator.controller.stand_back import StandBack
from finetune_operator.job.budget import OverBudget
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Observation
from finetune_operator.status.waiting.why_waiting import NOT_TAKEN_UP


@dataclass(frozen=True)
class Later:
    """The end of a pass that leaves the status as it is."""

    seconds: float | None
    """After which to look again; None if only news are a reason to."""


class Ensurer:
    """Profile first, then the children, and whose they are."""

    def __init__(
        self,
        profile_keeper: ProfileKeeper,
        children: Children,
        stand_back: StandBack,
        blocked: BlockedJobs,
        clock: Callable[[], float],
    ) -> None:
        self._profile_keeper = profile_keeper
        self._children = children
        self._stand_back = stand_back
        self._blocked = blocked
        self._clock = clock

    async def ensure_children(
        self, finetunejob: FineTuneJob, observed: Observation, entry: Entry, now: datetime
    ) -> tuple[FineTuneJob, Observation] | Later:
        """Give the job its profile, and its children what its spec asks for. Return both as they are then, if a status is to be computed.

        A profile that is to be written down is in the observation, and nothing is made before it is.
        """
        is_over, had_job, began = _is_over(finetunejob, observed), observed.job is not None, observed.holds_anything
        is_said = _says_that_it_waits(finetunejob.status)
        finetunejob, observed = await self._profile_keeper.give_profile(finetunejob, observed)
        if observed.profile is not None:
            return finetunejob, observed
        observed = await self._children.ensure(finetunejob, observed, entry, now)
        if observed.former is None:
            waits = observed.job is None and not finetunejob.deleting
            cause, made = observed.blocked if waits else None, observed.holds_anything and not began
            if cause is not None and cause is entry.obstacle.cause:
                self._blocked.wait(finetunejob.key)  # It still holds, and was not asked for again.
            else:
                about, tried = about_children(finetunejob), self._clock()
                longest = (cause.until - now).total_seconds() if isinstance(cause, OverBudget) else LONGEST_SECONDS
                self._blocked.note(finetunejob.key, about, cause, entry.obstacle, tried, made=made, longest=longest)
        if is_over:
            return Later(entry.refused.wait(self._clock()))
        left_alone = await self._stand_back.decide(finetunejob, observed, entry)
        if left_alone is not None:
            return Later(left_alone)
        if observed.job is not None and not (had_job or observed.is_taken_up) and observed.blocked is None and is_said:
            # That holds until there is news of the Job.
            return Later(NOT_TAKEN_UP.total_seconds())
        return finetunejob, observed


def _says_that_it_waits(status: FineTuneJobStatus) -> bool:
    """Whether a status says that the job waits for a pod and nothing else, as it does once its Job is made."""
    ready = next((each.reason for each in status.conditions if each.type == "Ready"), None)
    return status.phase == "Pending" and ready == Reason.WAITING_FOR_POD


def _is_over(finetunejob: FineTuneJob, observed: Observation) -> bool:
    """Whether a job is being deleted and its status stays as it is: its end is written, or it never began. Of one that was deleted as soon
    as its end was written something may run all the same."""
    never_began = not (observed.holds_anything or finetunejob.status.phase)
    return finetunejob.deleting and (finetunejob.terminal or never_began)
