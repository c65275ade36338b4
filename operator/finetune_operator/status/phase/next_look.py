"""When time alone may change what is decided of a job: none of its watches shows that."""

from datetime import datetime, timedelta
from typing import Final

from finetune_api.reasons import Reason
from finetune_operator.status.phase.facts import Facts
from finetune_operator.status.stalls.ending import is_being_ended
from finetune_operator.status.verdict import Verdict

_AT_ONCE: Final = timedelta(seconds=0.1)
"""Once the status says that an attempt is ended, it is."""


def next_look(verdict: Verdict, facts: Facts, due: datetime | None) -> float | None:
    """Seconds until time alone may change the verdict; None if it may not. Until `due` the pods have to run.

    Of moments at which it turns out that nothing changes there may be some: each costs a pass without a request.
    """
    if verdict.ended is not None:
        return None
    times = [due] if due is not None else []
    times += [facts.unheard.said_at] if facts.unheard is not None else []
    times += facts.still.moments if facts.still is not None else []
    if verdict.reason == Reason.PROGRESS_STALLED and not is_being_ended(facts.before.attempts, facts.observed):
        times.append(facts.now + _AT_ONCE)
    delays = [(time - facts.now).total_seconds() for time in times if time > facts.now]
    return min(delays if facts.until_lost is None else [*delays, facts.until_lost], default=None)
