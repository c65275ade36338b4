"""Takes away what a FineTuneJob needs no more: former runs, the claim of a run that saved nothing, and what it has at its end."""

import logging
from collections.abc import Iterable
from datetime import datetime
from functools import partial

from finetune_api.reasons import Reason
from finetune_operator.controller.children.refusable import Refusable
from finetune_operator.controller.entry import Entry
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import child_names
from finetune_operator.job.observation import Cause, FormerRuns, JobState, Observation
from finetune_operator.job.ownership import is_our_claim, is_ours
from finetune_operator.job.parse_children import parse_job
from finetune_operator.kube.client import JOBS, NETWORK_POLICIES, PVCS, SERVICES, Kube
from finetune_operator.kube.errors import REFUSED, api_message
from finetune_operator.manifests.job import changes_after_the_end
from finetune_operator.status.failures.unused_claim import unused_claim

_ENDED_BY_US = (Reason.PRE_RUNNING_DEADLINE_EXCEEDED, Reason.PROGRESS_STALLED)
"""Failures of a job whose Job has not failed."""

logger = logging.getLogger(__name__)


class Remover:
    """Deletes by uid, and nothing that another made."""

    def __init__(self, kube: Kube, refusable: Refusable) -> None:
        self._kube = kube
        self._refusable = refusable

    async def end_runs(self, finetunejob: FineTuneJob, former: FormerRuns, entry: Entry) -> Cause | None:
        """End the runs before the present one: without their Jobs their pods are stopped, and the trainer saves. Return why that is refused."""
        return await self._end(finetunejob, [job for job in former.jobs if not job.deleting], entry)

    async def end_run(self, finetunejob: FineTuneJob, observed: Observation, entry: Entry) -> Cause | None:
        """End the run of a FineTuneJob that is being deleted, and those before. A finalizer may keep that for ever, and nothing of it may
        hold a GPU meanwhile. Each Job goes after its pods: one that is deleted in the foreground does not seem gone while they run. Return
        why that is refused."""
        jobs = list(observed.former.jobs) if observed.former is not None else []
        present = [stage.job for stage in (observed, observed.preflight) if stage is not None and stage.job is not None]
        jobs += [job for job in present if job.end is None]
        return await self._end(finetunejob, [job for job in jobs if not job.deleting], entry, after_children=True)

    async def _end(
        self, finetunejob: FineTuneJob, jobs: Iterable[JobState], entry: Entry, *, after_children: bool = False
    ) -> Cause | None:
        for job in jobs:
            refused = await self._refusable.delete_job(finetunejob, job, entry, after_children=after_children)
            if refused is not None:
                return refused
        return None

    async def tidy_up(self, finetunejob: FineTuneJob) -> None:
        """Delete what nothing uses any more of the run before the present one, once that has ended. Its output stays.

        Secrets are the exception: none may be read, and so none is found. Like all children they go with the FineTuneJob.
        """
        names = child_names(finetunejob.name, finetunejob.uid, finetunejob.run.number - 1)
        for kind, name in ((NETWORK_POLICIES, names.job), (SERVICES, names.service)):
            live = await self._kube.get(kind, finetunejob.namespace, name)
            try:
                if live is not None and is_ours(live, finetunejob):
                    await self._kube.delete(kind, finetunejob.namespace, name, live["metadata"]["uid"])
            except REFUSED as error:
                logger.warning("%s: %s %s stays: %s", finetunejob.key, kind.plural, name, api_message(error))

    async def release_claim(self, finetunejob: FineTuneJob, observed: Observation, now: datetime) -> str | None:
        """Delete the claim of a job that has failed with nothing saved. Return its name, empty if it was gone; None if it stays.

        Before its pods go, by which that is known.
        """
        claim = unused_claim(finetunejob, observed, now)
        if claim is None:
            return None
        try:
            live = await self._kube.get(PVCS, finetunejob.namespace, claim)
            if live is None:
                return ""
            if not is_our_claim(live, finetunejob):
                return None
            await self._kube.delete(PVCS, finetunejob.namespace, claim, live["metadata"]["uid"])
        except REFUSED as error:
            # Rights that were taken away, a webhook, a policy: what else is left to do for the job is done all the same.
            logger.warning("%s: the claim %s stays: %s", finetunejob.key, claim, api_message(error))
            return None
        return claim

    async def clean_up(self, finetunejob: FineTuneJob, observed: Observation, entry: Entry) -> None:
        """After the end of a FineTuneJob nothing is made again. Its Jobs get their time to live, or go with their pods."""
        failure = finetunejob.status.failure
        for stage in (observed, observed.preflight):
            job = stage.job if stage is not None else None
            if job is None or job.deleting:
                continue
            if job.end is not None and finetunejob.spec is not None:
                patch = changes_after_the_end(job.requested, finetunejob.spec)
                if patch is not None:
                    about, what = (job.uid, "end"), f"the Job {job.name} cannot be given its time to live"
                    merge = partial(self._kube.merge, JOBS, finetunejob.namespace, job.name, patch, job.uid)
                    await self._refusable.attempt(finetunejob, entry, about, what, merge)
            elif job.end is None and (
                (failure is not None and failure.reason in _ENDED_BY_US) or await self._goes_on(finetunejob, job)
            ):
                # Nothing of it may hold a GPU.
                await self._refusable.delete_job(finetunejob, job, entry)

    async def _goes_on(self, finetunejob: FineTuneJob, job: JobState) -> bool:
        """Whether a Job runs after the end of its FineTuneJob, as where somebody wrote that end while no operator was there: it would be for
        nothing, and nobody would count it. A cache may not show its end yet."""
        live = await self._kube.get(JOBS, finetunejob.namespace, job.name)
        return live is not None and live["metadata"]["uid"] == job.uid and parse_job(live).end is None
