"""What there is of a FineTuneJob: found in the caches, asked for where they do not suffice, and read in one place."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from finetune_operator.controller.entry import Entry
from finetune_operator.controller.explainer import Explainer
from finetune_operator.controller.lookup import Lookup
from finetune_operator.controller.questions import next_question
from finetune_operator.controller.stages import Stages
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.leaving import without_leaving
from finetune_operator.job.observation import Observation
from finetune_operator.job.own_jobs import OwnJobs
from finetune_operator.job.preflight import preflight_spec
from finetune_operator.kube.client import Kube
from finetune_operator.kube.informer import Informer


class Observer:
    """Reads only."""

    def __init__(
        self,
        kube: Kube,
        *,
        jobs: Informer,
        pods: Informer,
        own_jobs: OwnJobs,
        clock: Callable[[], float],
        trouble_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        """`trouble_of` returns what the last connection of an address to the report endpoint came to nothing of."""
        self._lookup = Lookup(kube, jobs=jobs, pods=pods)
        self._stages = Stages(own_jobs, trouble_of)
        self._explainer = Explainer(kube, clock)
        self._clock = clock

    async def observe(self, finetunejob: FineTuneJob, entry: Entry, now: datetime) -> Observation:
        """Return what there is of the job: its Jobs, their pods, the last reports, and what is in their way.

        What was in their way a short while ago still is: the API server is asked again when that is due.
        """
        found = self._lookup.cached(finetunejob)
        held = entry.obstacle.cause if entry.obstacle.holds(about_children(finetunejob), self._clock()) else None
        while True:
            observed = self._stages.read_stages(finetunejob, found, entry, held)
            question = next_question(finetunejob, observed, now)
            if question is None or question in found.asked:
                break
            found = await self._lookup.ask_server(question, finetunejob, found, made=entry.made is not None)
        if finetunejob.terminal or finetunejob.spec is None:
            return replace(observed, tried=tuple(entry.tried.values()))
        observed = without_leaving(finetunejob, observed)
        stage, spec = observed.under_way, finetunejob.spec
        if finetunejob.deleting or observed.blocked is not None or stage.job is None or stage.job.end is not None:
            return observed
        if stage is observed:
            return await self._explainer.explain(finetunejob, observed, spec, entry, now)
        return replace(
            observed, preflight=await self._explainer.explain(finetunejob, stage, preflight_spec(spec), entry, now)
        )


def about_children(finetunejob: FineTuneJob) -> tuple[str, int]:
    """What an obstacle is about that keeps a child from being made. Another spec may be taken."""
    return "children", finetunejob.generation
