"""Gives a job its profile, which it keeps: that is in its status before its first child is made."""

from dataclasses import replace

from finetune_api.status import AppliedProfile
from finetune_operator.controller.profiles import Profiles
from finetune_operator.job.budget import OverBudget
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, Observation
from finetune_operator.job.profile import Refusal


class ProfileKeeper:
    """Decides whether a job needs a profile now, and finds the one that it has. Reads only."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    async def give_profile(self, finetunejob: FineTuneJob, observed: Observation) -> tuple[FineTuneJob, Observation]:
        """Find the profile of a job that has none, before its first child is made, or where its status has lost it.

        Return the job, and the observation with the profile that is to be written down, or with what is in its way.
        """
        spec, is_running, under_way = finetunejob.spec, observed.job is not None, observed.under_way.job
        if spec is None or finetunejob.kept or finetunejob.terminal or finetunejob.deleting:
            return finetunejob, observed
        found = None
        if under_way is not None and under_way.keeps_profile:
            found = await self._profiles.kept_by(finetunejob, under_way.name)
        is_kept = found is not None
        if found is None:
            # What the status says of the past does not count: who may write it could say anything. A Job that began before there
            # were profiles goes on without; one whose profile somebody else has written gets its own again.
            if observed.blocked is not None or (is_running and not finetunejob.unproven):
                return finetunejob, observed
            given = await self._profiles.settle(finetunejob, spec, running=is_running)
            if not isinstance(given, AppliedProfile):
                return finetunejob, observed if is_running else _with_obstacle(observed, given)
            found = given
        # What is computed of the job is computed under that profile: it may give the place that the run writes to, and who is told of its end.
        given_job = self._profiles.with_profile(found, finetunejob)
        if is_running and not is_kept:
            # Nothing is written down: two operators that share a namespace would do so again and again.
            return given_job, observed
        return replace(given_job, status=finetunejob.status), replace(observed, profile=found)


def _with_obstacle(observed: Observation, given: Refusal | OverBudget) -> Observation:
    """The observation of a job that gets no profile, or not yet."""
    if isinstance(given, OverBudget):
        return replace(observed, blocked=given)
    cause = Cause(given.reason, given.message)
    return replace(observed, refused=cause) if given.final else replace(observed, blocked=cause)
