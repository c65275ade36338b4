"""Whether the reports of a pod that runs arrive, and why they probably do not."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.reasons import Reason
from finetune_api.status import FineTuneJobStatus
from finetune_api.values import format_time
from finetune_operator.job.observation import Observation, PodState
from finetune_operator.job.report import NEXT_REPORT
from finetune_operator.status.stalls.movement import finished_at

FIRST_REPORT = timedelta(seconds=60)
"""So long a trainer may take to its first report: it comes before anything is loaded, but after many pods have met."""
_SINCE = "no report of its trainer has come since "


@dataclass(frozen=True)
class Unheard:
    """No report of the pod that is to report has come since a moment."""

    since: datetime
    patience: timedelta
    """How long that is nothing to speak of."""
    trouble: str
    """What its last connection came to nothing of; empty if none is known."""
    said: str = ""
    """The words of the status that say so since before this process listened, and that nothing has proved wrong since."""

    @property
    def said_at(self) -> datetime:
        """From when on the status says it."""
        return self.since + self.patience

    def __str__(self) -> str:
        """For people, and the same for as long as it lasts."""
        if self.said:
            return self.said
        trouble = self.trouble or (
            "no connection from it is known, so it is slow to begin, or DNS or a NetworkPolicy keeps it from the operator, "
            "or its image sends none"
        )
        return f"{_SINCE}{format_time(self.since)}: {trouble}. The pod's log has what it met"


def unheard(observed: Observation, before: FineTuneJobStatus, nodes: int) -> Unheard | None:
    """Since when no report of the pod that is to report has come.

    None where nobody listens, or where the pod does not run, or has said that it has finished. What came before this process listened is not held against a pod.
    """
    pod = observed.attempts[-1] if observed.attempts else None
    if observed.hearing is None or pod is None or not pod.running or finished_at(pod, before):
        return None
    last, patience, said = _last_report(pod, before), NEXT_REPORT, _said(pod, before)
    if last is None:
        last, patience = observed.began(pod, nodes), FIRST_REPORT
    if last is None:
        return None
    since, trouble = observed.hearing.since, observed.hearing.trouble
    return Unheard(max(last, since), patience, trouble, said if last < since and not trouble else "")


def _said(pod: PodState, before: FineTuneJobStatus) -> str:
    """What the status says of this pod, if it is that its reports do not come. A restarted operator would take that back for no reason."""
    if pod.report is not None or not before.attempts or before.attempts[-1].pod != pod.name:
        return ""
    ready = next((each for each in before.conditions if each.type == "Ready"), None)
    if ready is None or ready.reason != Reason.REPORTS_MISSING:
        return ""
    # Not what stands before it, such as what was refused: that is said again where it is still so.
    _, since, rest = (before.message or "").partition(_SINCE)
    return since + rest


def _last_report(pod: PodState, before: FineTuneJobStatus) -> datetime | None:
    """When the pod reported last; after a start of the operator as the status has it."""
    if pod.report is not None:
        return pod.report.time
    is_known = before.phase == "Running" and bool(before.attempts) and before.attempts[-1].pod == pod.name
    return before.progress.last_report_time if is_known and before.progress is not None else None
