"""Reads the stages of a job's run, the preflight and the training, from what was found of them. What another made is not among them."""

from collections.abc import Callable
from dataclasses import replace

from finetune_operator.controller.entry import Entry
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.former_runs import follows_another, with_former_runs
from finetune_operator.job.found import Found, Question
from finetune_operator.job.observation import Cause, Hearing, Observation
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.ownership import job_as_owner, own_pods
from finetune_operator.job.parse_children import parse_job, parse_pods


class Stages:
    """The one place where Jobs and pods are read, wherever they were found."""

    def __init__(self, own_jobs: OwnJobs, trouble_of: Callable[[str], str]) -> None:
        """`trouble_of` returns what the last connection of an address to the report endpoint came to nothing of."""
        self._own_jobs = own_jobs
        self._trouble_of = trouble_of

    def read_stages(self, finetunejob: FineTuneJob, found: Found, entry: Entry, held: Cause | None) -> Observation:
        """What there is of the job, with the preflight unless an attempt to train is known that goes on.

        `held` is what kept its children from being made a short while ago.
        """
        names = [finetunejob.names.job]
        if finetunejob.terminal or not finetunejob.status.attempts:
            names.append(finetunejob.names.preflight_job)
        stages = [self._stage(finetunejob, name, found, entry) for name in names]
        in_the_way = [each.blocked for each in stages if each.blocked is not None]
        observed = replace(
            stages[0],
            preflight=next((each for each in stages[1:] if each.job is not None), None),
            blocked=next(iter(in_the_way), found.forbidden),
            output_bound=found.output_bound,
        )
        if entry.reports.refused:
            observed = observed.without_reports(entry.reports.refused, "all of it (the API server refuses it)")
        if finetunejob.terminal or finetunejob.spec is None or observed.job is not None:
            return observed
        if held is not None and not finetunejob.deleting and (observed.preflight is None or observed.preflight.passed):
            return replace(observed, blocked=held)
        if follows_another(finetunejob):
            return with_former_runs(finetunejob, observed, found.jobs, found.pods)
        return replace(observed, check_first=Question.JOBS in found.asked and observed.preflight is None)

    def _stage(self, finetunejob: FineTuneJob, name: str, found: Found, entry: Entry) -> Observation:
        """The operator's own Job of this name, if it is there, with those of the pods that belong to it, and what they reported."""
        raw = next((each for each in found.jobs if each["metadata"]["name"] == name), None)
        conflict = self._own_jobs.conflict(raw, finetunejob) if raw is not None else None
        own = raw if conflict is None else None
        owners = [each for each in entry.jobs if each.name == name]
        owners += [job_as_owner(name, own["metadata"]["uid"])] if own is not None else []
        pods = own_pods(finetunejob.namespace, owners, found.pods)
        observed = Observation(
            job=parse_job(own) if own is not None else None,
            pods=parse_pods(pods, entry.reports.received),
            unread=entry.reports.unread,
            # One that a cache shows is found to be in the way when another is made.
            blocked=conflict if Question.JOBS in found.asked else None,
        )
        if own is not None:
            entry.note_job(owners[-1])
        address = observed.attempts[-1].address if observed.attempts else None
        return replace(observed, hearing=Hearing(entry.heard_since, self._trouble_of(address) if address else ""))
