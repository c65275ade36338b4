"""Conditions: Running, Suspended, Complete and Failed as on a batch/v1 Job, and kstatus's three for GitOps tools.

kstatus: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
"""

from collections.abc import Sequence
from datetime import datetime

from finetune_api.reasons import Reason
from finetune_api.status import Condition
from finetune_operator.status.verdict import Verdict


def build_conditions(
    verdict: Verdict, previous: Sequence[Condition], generation: int, now: datetime
) -> list[Condition]:
    """All seven conditions. The time of one moves only when its status does."""
    before = {condition.type: condition for condition in previous}
    true = _true_of(verdict)
    if verdict.reason == Reason.INVALID_SPEC:
        true = true - {"Reconciling"} | {"Stalled"}
    # Progress in a condition's message would change it with each report; it has its place in status.message.
    is_progress = verdict.phase == "Running" and "Stalled" not in true and verdict.reason != Reason.NOT_MOVING
    message = "" if is_progress else verdict.message
    conditions = []
    for kind in ("Running", "Suspended", "Complete", "Failed", "Ready", "Reconciling", "Stalled"):
        holds = kind in true
        old = before.get(kind)
        status = "True" if holds else "False"
        tells = holds or kind == "Ready"
        said = {
            "status": status,
            "reason": verdict.reason if tells else verdict.phase,
            "message": message if tells else "",
            "observed_generation": generation,
        }
        if old is None or any(getattr(old, name) != value for name, value in said.items()):
            since = old.last_transition_time if old and old.status == status else now
            old = Condition(type=kind, last_transition_time=since, **said)
        conditions.append(old)
    return conditions


def _true_of(verdict: Verdict) -> set[str]:
    match verdict.phase:
        case "Succeeded":
            return {"Complete", "Ready"}
        case "Failed":
            return {"Failed", "Stalled"}
        case "Preparing" | "Running":
            return {"Running", "Reconciling"}
        case "Suspended":
            return {"Suspended", "Reconciling"}
        case "Pending" | "Queued":
            return {"Reconciling"}
