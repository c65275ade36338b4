"""Gives a job its profile, which it keeps: that is in its status before its first child is made."""

from dataclasses import replace
from datetime import datetime

from finetune_operator.controller.children.remove import Remover
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.profiles import Profiles
from finetune_operator.controller.status_writer import StatusWriter
from finetune_operator.job.budget import OverBudget
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, Observation
from finetune_operator.job.profile import Refusal
from finetune_operator.status.compute import compute_status


class ProfileKeeper:
    """Decides whether a job needs a profile now, and writes down which one it has."""

    def __init__(self, profiles: Profiles, remover: Remover, status: StatusWriter) -> None:
        self._profiles = profiles
        self._remover = remover
        self._status = status

    async def give_profile(
        self, finetunejob: FineTuneJob, observed: Observation, entry: Entry, now: datetime
    ) -> tuple[FineTuneJob, Observation] | None:
        """Give a job its profile, written down before its first child is made, and again where it was taken away.

        Return the job with it, or what is in its way in the observation; None if the job has changed meanwhile.
        """
        spec, is_running, under_way = finetunejob.spec, observed.job is not None, observed.under_way.job
        if spec is None or finetunejob.kept or finetunejob.terminal or finetunejob.deleting:
            return finetunejob, observed
        found = None
        if under_way is not None and under_way.keeps_profile:
            found = await self._profiles.kept_by(finetunejob, under_way.name)
        if found is None:
            # What the status says of the past does not count: who may write it could say anything. A Job that began before there
            # were profiles goes on without; one whose profile somebody else has written gets its own again.
            if observed.blocked is not None or (is_running and not finetunejob.unproven):
                return finetunejob, observed
            if finetunejob.run.number > 1 and not is_running:
                await self._remover.tidy_up(finetunejob)
            given = await self._profiles.settle(finetunejob, spec, running=is_running)
            if is_running:
                # Nothing is written down: two operators that share a namespace would do so again and again.
                return self._profiles.with_profile(entry.raw, given) or finetunejob, observed
            if isinstance(given, OverBudget):
                return finetunejob, replace(observed, blocked=given)
            if isinstance(given, Refusal):
                cause = Cause(given.reason, given.message)
                return finetunejob, replace(observed, refused=cause) if given.final else replace(
                    observed, blocked=cause
                )
            found = given
        status = compute_status(finetunejob, observed, now)
        written = await self._status.keep_profile(finetunejob, found, status, entry)
        return (self._profiles.read_finetunejob(written), observed) if written is not None else None
