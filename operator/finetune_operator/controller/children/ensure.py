"""Brings the children of a FineTuneJob to what its spec asks for: decides which step is next, and has it done."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from finetune_api.reasons import Reason
from finetune_operator.controller.children.kueue import Kueue
from finetune_operator.controller.children.make import Maker
from finetune_operator.controller.children.refusable import Refusable, with_refusal
from finetune_operator.controller.children.remove import Remover
from finetune_operator.controller.children.restore import Restorer
from finetune_operator.controller.children.shared import SharedObjects
from finetune_operator.controller.children.sync import JobSync
from finetune_operator.controller.entry import Entry
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Cause, Observation
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube.client import Kube
from finetune_operator.kube.errors import REFUSED_FOR_GOOD, REFUSED_FOR_NOW, api_message


class Children:
    """Writes Secrets, NetworkPolicies, claims, Services, Jobs and the authority. Only Job and authority change after they are made, and little."""

    def __init__(
        self,
        kube: Kube,
        shared: SharedObjects,
        pod_defaults: Callable[[], PodDefaults],
        own_jobs: OwnJobs,
        clock: Callable[[], float] = time.monotonic,
        kueue: Kueue | None = None,
    ) -> None:
        """`kueue` passes suspension on to the queue of a Job, and says why it waits there."""
        refusable = Refusable(kube, clock)
        self._remover = Remover(kube, refusable)
        self._maker = Maker(kube, shared, pod_defaults, own_jobs)
        self._sync = JobSync(kube, refusable, shared, Restorer(kube, shared), pod_defaults, own_jobs, kueue, clock)

    async def ensure(self, finetunejob: FineTuneJob, observed: Observation, entry: Entry, now: datetime) -> Observation:
        """Bring the children to what the spec asks for. Return the observation with what was made and changed in it."""
        spec, preflight = finetunejob.spec, observed.preflight
        if finetunejob.deleting:
            return with_refusal(observed, await self._remover.end_run(finetunejob, observed, entry))
        if finetunejob.terminal:
            released = await self._remover.release_claim(finetunejob, observed, now)
            await self._remover.clean_up(finetunejob, observed, entry)
            return replace(observed, released=released)
        if spec is None:
            return observed
        if observed.job is not None:
            return await self._sync.sync(finetunejob, spec, observed, entry, now)
        if observed.former is not None:
            observed = with_refusal(observed, await self._remover.end_runs(finetunejob, observed.former, entry))
        if observed.blocked is not None or observed.refused is not None:
            return observed
        if preflight is not None and not preflight.passed:
            return replace(observed, preflight=await self._sync.sync(finetunejob, spec, preflight, entry, now))
        try:
            if finetunejob.run.number > 1 and preflight is None and entry.made is None:
                await self._remover.tidy_up(finetunejob)
            return await self._maker.make_next(finetunejob, spec, observed, entry)
        except REFUSED_FOR_NOW as error:
            return replace(observed, blocked=Cause(Reason.CREATE_FORBIDDEN, api_message(error)))
        except REFUSED_FOR_GOOD as error:
            return replace(observed, refused=Cause(Reason.SPEC_REFUSED, api_message(error)))
