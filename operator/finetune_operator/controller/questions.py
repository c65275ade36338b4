"""Decides what the API server has to be asked of a job, by what was found of it."""

from datetime import datetime

from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.former_runs import follows_another
from finetune_operator.job.found import Question
from finetune_operator.job.observation import Observation
from finetune_operator.job.preflight import wants_preflight
from finetune_operator.status.failures.unused_claim import unused_claim


def next_question(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> Question | None:
    """What is not known and has to be; None if what was found suffices. What is in the job's way needs no further look."""
    spec, stage = finetunejob.spec, observed.under_way
    if unused_claim(finetunejob, observed, now) is not None:
        return Question.PODS
    if finetunejob.terminal or spec is None or observed.blocked is not None:
        return None
    if observed.job is None and follows_another(finetunejob):
        return Question.FORMER_RUNS
    if finetunejob.deleting:
        return None
    if stage.job is None:
        # A job is given its profile first. Whether there is a Job that trains is not asked otherwise: to make it is to find out.
        return Question.JOBS if finetunejob.kept is not None and wants_preflight(finetunejob, spec) else None
    if stage.job.end is None or stage.job.deleting:
        return None
    newest, nodes = stage.newest, spec.resources.nodes if stage is observed else 1
    ended = [pod.terminated for pod in newest if pod.terminated is not None]
    if stage.job.end.succeeded and len(ended) == len(newest) == nodes and ended[0].exit_code == 0:
        return None  # The cache shows how all pods have ended. A watch shows what came before that, too.
    # The Job's end may be seen before the pods': the final report is read from the pods as they are now.
    return Question.PODS
