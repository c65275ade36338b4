"""What the status says of a job that is held back: since when, at which place in its queue, and by which budget."""

from datetime import datetime

from finetune_api.status import FineTuneJobStatus, Waiting
from finetune_operator.job.budget import OverBudget
from finetune_operator.job.observation import Observation
from finetune_operator.job.workload import InQueue
from finetune_operator.status.verdict import Verdict


def held_back(before: FineTuneJobStatus, verdict: Verdict, observed: Observation, now: datetime) -> Waiting | None:
    """What `status.waiting` says after that verdict; None if nothing holds the job back."""
    if verdict.phase != "Queued":
        return None
    since = before.waiting.since if before.waiting is not None else now
    blocked = observed.under_way.blocked
    position = blocked.position if isinstance(blocked, InQueue) else None
    budget = observed.blocked.budget if isinstance(observed.blocked, OverBudget) else None
    return Waiting(reason=verdict.reason, since=since, position=position, budget=budget)
