"""A quota tells when it has more room, and not when it has less."""

from typing import Any

import pytest

from finetune_operator.kube.quotas import QuotaRoom, trim_quota


def quota(hard: dict[str, str], used: dict[str, str], **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "team-a", "name": "small", "uid": "q", "resourceVersion": "1", "labels": {"a": "b"}}
    return trim_quota({"metadata": metadata, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}, **more})


BEFORE = quota({"count/jobs.batch": "5", "requests.memory": "1Gi"}, {"count/jobs.batch": "5", "requests.memory": "1Gi"})


@pytest.mark.parametrize(
    ("now", "grown"),
    [
        (BEFORE, False),
        (quota({"count/jobs.batch": "6", "requests.memory": "1Gi"}, {"count/jobs.batch": "5", "requests.memory": "1Gi"}), True),
        (quota({"count/jobs.batch": "5", "requests.memory": "1Gi"}, {"count/jobs.batch": "4", "requests.memory": "1Gi"}), True),
        (quota({"count/jobs.batch": "5", "requests.memory": "1Gi"}, {"count/jobs.batch": "5", "requests.memory": "1023Mi"}), True),
        (quota({"count/jobs.batch": "5"}, {"count/jobs.batch": "5"}), True),
        (quota({"count/jobs.batch": "4", "requests.memory": "1Gi"}, {"count/jobs.batch": "5", "requests.memory": "1024Mi"}), False),
        (quota({"count/jobs.batch": "5", "requests.memory": "1Gi", "pods": "0"}, {"count/jobs.batch": "5", "requests.memory": "1Gi"}), False),
    ],
)  # fmt: skip
def test_more_room_is_a_limit_that_rose_or_went_or_a_use_that_fell(now: dict[str, Any], grown: bool) -> None:
    room = QuotaRoom()

    assert room.has_grown(BEFORE, gone=False) is False
    assert room.has_grown(now, gone=False) is grown


def test_a_quota_that_was_deleted_leaves_room() -> None:
    room = QuotaRoom()
    room.has_grown(BEFORE, gone=False)

    assert room.has_grown(BEFORE, gone=True) is True
    assert room.has_grown(BEFORE, gone=False) is False


def test_a_quota_of_which_nothing_was_computed_yet_says_nothing() -> None:
    room = QuotaRoom()
    fresh = trim_quota({"metadata": BEFORE["metadata"], "spec": {"hard": {"pods": "1"}}})

    assert room.has_grown(fresh, gone=False) is False
    assert room.has_grown(BEFORE, gone=False) is False
