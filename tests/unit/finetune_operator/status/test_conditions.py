"""The conditions."""

from typing import Any

from tests.unit.finetune_operator.samples import (
    job,
    observation,
    parsed,
    pod,
    received,
    running,
    stamp,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import REPORT, compute


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    before = compute(parsed(), observation(job(), pod(state=running())), 60)
    later = compute(parsed(before), observation(job(), pod(state=running()), report=received({"report": REPORT})), 70)
    ended = compute(parsed(later), observation(job(end=("Complete", "", "")), pod(state=terminated(0))), 110)

    def times(status: dict[str, Any]) -> dict[str, str]:
        return {each["type"]: each["lastTransitionTime"] for each in status["conditions"]}

    assert set(times(later).values()) == {stamp(60)}
    assert times(ended) == {
        "Running": stamp(110),
        "Suspended": stamp(60),
        "Complete": stamp(110),
        "Failed": stamp(60),
        "Ready": stamp(110),
        "Reconciling": stamp(110),
        "Stalled": stamp(60),
    }
