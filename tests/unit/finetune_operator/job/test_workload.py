"""What a Workload of Kueue says of a Job that waits, in Kueue's own words.

The Workloads are as Kueue 0.14 leaves them: see its pkg/scheduler and apis/kueue/v1beta2/workload_types.go.
"""

import json
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import job

from finetune_operator.job.parse_children import parse_job
from finetune_operator.job.workload import activation, is_of_kueue, read_places, read_workload, why_in_queue

NO_ROOM = "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor a100, 2 more needed"


def workload(*conditions: tuple[str, str, str, str], name: str = "job-yelp-19797", **spec: Any) -> dict[str, Any]:
    """A Workload with conditions of type, status, reason and message."""
    keys = ("type", "status", "reason", "message")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "yelp", "uid": "job-uid", "controller": True}
    return {
        "metadata": {"name": name, "ownerReferences": [owner]},
        "spec": {"queueName": "team-a", "active": True, **spec},
        "status": {"conditions": [dict(zip(keys, each, strict=True)) for each in conditions]},
    }


PENDING = ("QuotaReserved", "False", "Pending", NO_ROOM)
EVICTED = ("Evicted", "True", "Preempted", "Preempted to accommodate a workload (UID: 1) due to prioritization")
RESERVED = ("QuotaReserved", "True", "QuotaReserved", "Quota reserved in ClusterQueue research")
LINE = [
    {"metadata": {"name": "job-other-1"}, "positionInClusterQueue": 0, "positionInLocalQueue": 0},
    {"metadata": {"name": "job-yelp-19797"}, "positionInClusterQueue": 6, "positionInLocalQueue": 1},
]


@pytest.mark.parametrize(
    ("raw", "pending", "reason", "message", "position"),
    [
        (workload(), [], "WaitingForQuota", "waiting for quota in the queue team-a", None),
        (
            workload(PENDING),
            LINE,
            "WaitingForQuota",
            f"waiting for quota in the queue team-a, at place 7: {NO_ROOM}",
            7,
        ),
        (
            workload(EVICTED, PENDING),
            [],
            "WaitingForQuota",
            f"waiting for quota in the queue team-a: evicted: Preempted ({EVICTED[3]}); {NO_ROOM}",
            None,
        ),
        (
            workload(("Evicted", "True", "Deactivated", "The workload is deactivated"), PENDING),
            [],
            "WaitingForQuota",
            f"waiting for quota in the queue team-a: {NO_ROOM}",
            None,
        ),
        (
            workload(PENDING, active=False),
            LINE,
            "WorkloadDeactivated",
            "the Workload job-yelp-19797 is deactivated: set its spec.active to true to have it queued again",
            None,
        ),
        (
            workload(RESERVED),
            [],
            "WaitingForAdmission",
            "quota is reserved in the queue team-a; waiting for admission",
            None,
        ),
    ],
    ids=["just made", "no room", "preempted", "active again", "deactivated", "reserved"],
)
def test_the_wait_is_explained(
    raw: dict[str, Any], pending: list[dict[str, Any]], reason: str, message: str, position: int | None
) -> None:
    said = why_in_queue(raw, "team-a", read_places(pending))

    assert (said.reason, said.message, said.position) == (reason, message, position)


def test_admission_checks_that_have_not_passed_are_named() -> None:
    raw = workload(RESERVED)
    raw["status"]["admissionChecks"] = [
        {"name": "budget", "state": "Ready"},
        {"name": "capacity", "state": "Pending", "message": "waiting for 2 nodes"},
        {"name": "multikueue", "state": "Retry"},
    ]

    said = why_in_queue(raw, "team-a", {})

    assert said.message.endswith("waiting for its admission checks: capacity (waiting for 2 nodes), multikueue")


def test_a_workload_belongs_to_the_job_that_owns_it_whatever_its_label() -> None:
    waiting = parse_job(job(suspend=True, start=None))
    foreign = workload(name="a")
    foreign["metadata"]["ownerReferences"][0]["uid"] = "another"

    assert read_workload(waiting, foreign) is None
    assert read_workload(waiting, {"metadata": {"name": "b"}}) is None
    assert read_workload(waiting, workload()) is not None


def test_what_is_read_of_a_workload_says_the_same_and_is_little_whatever_is_in_it() -> None:
    waiting, many = parse_job(job(suspend=True, start=None)), [{"name": "n" * 9000, "message": "m" * 9000}] * 1000
    raw = workload(RESERVED, EVICTED, podSets=many)
    raw["metadata"] |= {"annotations": {"a": "x" * 90_000}, "labels": {"l": "y"}}
    raw["status"]["admissionChecks"] = [{"name": "capacity", "state": "Pending"}, *many]
    raw["status"]["conditions"] += [{"type": "QuotaReserved", "status": "Unknown", "message": "z" * 90_000}] * 1000

    kept = read_workload(waiting, raw)

    assert kept is not None
    assert len(json.dumps(kept)) < 64 * 1024
    assert why_in_queue(kept, "q", {}).reason == why_in_queue(raw, "q", {}).reason == "WaitingForAdmission"
    for plain in (workload(PENDING), workload(EVICTED, PENDING), workload(active=False), workload(RESERVED)):
        read = read_workload(waiting, plain)
        assert read is not None
        assert why_in_queue(read, "q", read_places(LINE)) == why_in_queue(plain, "q", read_places(LINE))


SAME = {"uid": "w-uid", "resourceVersion": "7"}
HELD = {"annotations": {"finetune.dev/deactivated": "spec.suspend"}}
LET_GO = {"metadata": {**SAME, "annotations": {"finetune.dev/deactivated": None}}, "spec": {"active": True}}


@pytest.mark.parametrize(
    ("active", "metadata", "suspend", "patch"),
    [
        (True, {}, True, {"metadata": {**SAME, **HELD}, "spec": {"active": False}}),
        (True, HELD, True, {"metadata": {**SAME, **HELD}, "spec": {"active": False}}),
        (False, {}, True, None),
        (False, HELD, True, None),
        (False, HELD, False, LET_GO),
        (True, HELD, False, LET_GO),
        (False, {}, False, None),
        (True, {}, False, None),
    ],
    ids=[
        "is deactivated",
        "is deactivated again",
        "another did it",
        "is held already",
        "is let go",
        "loses the mark that another's activation left",
        "stays as another wants it",
        "is let go already",
    ],
)
def test_only_what_the_operator_deactivated_is_activated(
    active: bool, metadata: dict[str, Any], suspend: bool, patch: dict[str, Any] | None
) -> None:
    raw = workload(active=active)
    raw["metadata"] |= {**SAME, **metadata}

    assert activation(raw, suspend=suspend) == patch


def test_keys_of_kueue_are_known_by_their_domain() -> None:
    keys = ["kueue.x-k8s.io/a", "provreq.kueue.x-k8s.io/b", "notkueue.x-k8s.io/c", "kueue.x-k8s.io.example.com/d", "e"]

    assert [is_of_kueue(key) for key in keys] == [True, True, False, False, False]
