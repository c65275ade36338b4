"""Whether the reports of a pod that runs arrive, and why they probably do not."""

from datetime import datetime, timedelta

from finetune_api.report import MAX_REPORT_INTERVAL
from finetune_api.status import FineTuneJobStatus
from finetune_api.values import format_time
from finetune_operator.job.observation import Observation, PodState

FIRST_REPORT = timedelta(seconds=60)
"""So long a trainer may take to its first report: it comes before anything is loaded."""
NEXT_REPORT = timedelta(seconds=MAX_REPORT_INTERVAL + 120)
"""So long a trainer that has reported may be silent: it waits as it is asked to, and longer after failures."""


def silent_since(observed: Observation, before: FineTuneJobStatus, nodes: int) -> tuple[datetime, timedelta] | None:
    """Since when no report of the pod that is to report has come, and how long that is nothing to speak of.

    None where nobody listens, or where the pod does not run. What came before this process listened is not held against a pod.
    """
    pod = observed.attempts[-1] if observed.attempts else None
    if observed.hearing is None or pod is None or not pod.running:
        return None
    last, patience = _last_report(pod, before), NEXT_REPORT
    if last is None:
        last, patience = observed.began(pod, nodes), FIRST_REPORT
    return None if last is None else (max(last, observed.hearing.since), patience)


def describe_silence(observed: Observation, before: FineTuneJobStatus, nodes: int, now: datetime) -> str | None:
    """One line on reports that do not arrive, the same for as long as they do not; None where there is nothing to say."""
    silent = silent_since(observed, before, nodes)
    if silent is None or observed.hearing is None or now - silent[0] < silent[1]:
        return None
    trouble = observed.hearing.trouble or (
        "no connection from it is known, so probably DNS or a NetworkPolicy keeps it from the operator, or its image sends none"
    )
    return f"no report of its trainer has come since {format_time(silent[0])}: {trouble}. The pod's log has what it met"


def until_silence(observed: Observation, before: FineTuneJobStatus, nodes: int, now: datetime) -> float | None:
    """Seconds until the status says that reports do not arrive; None if that is over, or will not be."""
    silent = silent_since(observed, before, nodes)
    left = None if silent is None else (silent[0] + silent[1] - now).total_seconds()
    return left if left is not None and left > 0 else None


def _last_report(pod: PodState, before: FineTuneJobStatus) -> datetime | None:
    """When the pod reported last; after a start of the operator as the status has it."""
    if pod.report is not None:
        return pod.report.time
    is_known = before.phase == "Running" and bool(before.attempts) and before.attempts[-1].pod == pod.name
    return before.progress.last_report_time if is_known and before.progress is not None else None
