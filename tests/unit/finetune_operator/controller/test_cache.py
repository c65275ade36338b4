"""What Kopf tells, what a list tells, and what to make of a difference between the two."""

import asyncio
import math
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ForbiddenException
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.samples import finetunejob, merged

from finetune_operator.controller.cache import FineTuneJobs, keep
from finetune_operator.job.finetunejob import Key
from finetune_operator.kube.client import FINETUNEJOBS
from finetune_operator.kube.informer import SILENCE_SECONDS

KEY = Key("team-a", "yelp")
WHOLE = {"namespace": "team-a", "name": "odd", "uid": "u", "resourceVersion": "9"}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def version(number: int, uid: str = "u1") -> dict[str, Any]:
    return merged(finetunejob(), {"metadata": {"resourceVersion": str(number), "uid": uid}})


def test_an_older_version_never_replaces_a_newer_one() -> None:
    changed: list[Key] = []
    known = FineTuneJobs(changed.append)

    known.seen(version(5))
    known.update(version(7))
    known.seen(version(6))

    found = known.get(KEY)
    assert found is not None
    assert found.raw["metadata"]["resourceVersion"] == "7"
    assert changed == [KEY, KEY]


def test_the_very_version_that_is_there_is_known_and_no_other() -> None:
    known = FineTuneJobs(lambda _: None)
    known.update(version(7))
    others = version(6), version(8), version(7, uid="u2"), merged(version(7), {"metadata": {"name": "other"}}), {}

    assert known.knows(version(7))
    assert not any(known.knows(raw) for raw in others)


def test_the_deletion_of_an_older_object_does_not_hide_the_one_that_took_its_name() -> None:
    known = FineTuneJobs(lambda _: None)

    known.seen(version(5))
    known.seen(version(9, uid="u2"))
    known.gone(version(8))

    assert (known.get(KEY) is not None, known.key_of_uid("u1"), known.key_of_uid("u2")) == (True, None, KEY)


async def test_nothing_of_a_job_stays_when_its_deletion_is_met_before_it_is_seen() -> None:
    api, known = FakeApi(), FineTuneJobs(lambda _: None)
    deleted = api.put(FINETUNEJOBS, finetunejob())
    known.seen(deleted)
    await known.compare(api, None)

    # A write of its status has found the job gone, before Kopf's watch brings the deletion.
    known.forget(KEY)
    known.gone(deleted)

    assert [held for held in vars(known).values() if isinstance(held, dict) and held.keys() - {None}] == []


async def test_a_list_mends_what_kopf_has_missed_and_reports_it() -> None:
    changed: list[Key] = []
    api, known = FakeApi(), FineTuneJobs(changed.append)
    api.put(FINETUNEJOBS, finetunejob(name="there"))
    known.seen(version(5))

    await known.compare(api, None)

    assert known.get(KEY) is None
    assert known.get(Key("team-a", "there")) is not None
    assert changed == [KEY, Key("team-a", "there"), KEY]


@pytest.mark.parametrize("how", ["list", "compare"])
async def test_what_a_list_brings_is_told_apart_from_what_a_watch_does(how: str) -> None:
    changed, listed = list[Key](), list[Key]()
    api, known = FakeApi(), FineTuneJobs(changed.append, on_listed=listed.append)
    known.seen(api.put(FINETUNEJOBS, finetunejob(name="known")))
    for name in ("first", "second"):
        api.put(FINETUNEJOBS, merged(finetunejob(name=name), {"metadata": {"uid": name}}))

    await (known.list(api, None) if how == "list" else known.compare(api, None))

    assert changed == [Key("team-a", "known")]
    assert listed == [Key("team-a", "first"), Key("team-a", "second")]


SEEN = {"observedGeneration": 1, "profile": {"name": "default"}}


@pytest.mark.parametrize(
    ("status", "has_job", "is_under_way"),
    [
        (None, False, False),
        ({"phase": "Pending", **SEEN}, False, False),
        ({"phase": "Queued", **SEEN}, False, False),
        ({"phase": "Pending", **SEEN}, True, True),
        ({"phase": "Running", **SEEN}, True, True),
        ({"phase": "Running", **SEEN, "observedGeneration": 0}, True, False),
        ({"phase": "Succeeded", **SEEN}, False, True),
        ({"phase": "Failed", "observedGeneration": 1}, False, True),
        ({"phase": "Succeeded", **SEEN, "observedGeneration": 0}, False, False),
        ("odd", True, False),
    ],
)
def test_a_job_is_under_way_if_it_has_its_job_or_has_ended_and_its_spec_is_not_a_new_one(
    status: Any, has_job: bool, is_under_way: bool
) -> None:
    known = FineTuneJobs(lambda _: None)
    known.update(finetunejob(status))

    assert known.is_under_way(KEY, lambda _: has_job) is is_under_way
    assert not known.is_under_way(Key("team-a", "gone"), lambda _: True)


async def test_kopf_is_behind_if_it_has_not_reported_by_the_next_list() -> None:
    clock, api = Clock(), FakeApi()
    known = FineTuneJobs(lambda _: None, clock)
    stored = api.put(FINETUNEJOBS, finetunejob())
    delays = []

    for now in (0, 60, 120):
        clock.now = now
        await known.compare(api, None)
        delays.append(known.behind())
    known.seen(stored)
    clock.now = 180
    await known.compare(api, None)

    assert delays == [0, 0, 60]
    assert known.behind() == 0


async def test_a_namespace_that_may_not_be_read_keeps_its_jobs_and_is_not_silent() -> None:
    clock, api, changed = Clock(), FakeApi(), list[Key]()
    known = FineTuneJobs(changed.append, clock)
    known.seen(version(5))
    api.failures["list finetunejobs"] = refusal(403, "no")

    for now in range(0, 600, 60):
        clock.now = now
        with pytest.raises(ForbiddenException):
            await known.compare(api, "team-a")

    assert (known.all_keys(), changed, known.silence()) == ([KEY], [KEY], 0)
    assert known.current("team-a") == -math.inf


async def test_the_list_of_one_namespace_says_nothing_of_another() -> None:
    api, known = FakeApi(), FineTuneJobs(lambda _: None)
    known.seen(version(5))

    await known.compare(api, "team-b")
    kept = known.all_keys()
    await known.compare(api, "team-a")

    assert (kept, known.all_keys()) == ([KEY], [])


async def test_a_quiet_cluster_is_a_healthy_one() -> None:
    clock, api = Clock(), FakeApi()
    known = FineTuneJobs(lambda _: None, clock)
    api.put(FINETUNEJOBS, finetunejob())
    await known.list(api, None)

    for now in range(0, 36_000, 600):
        clock.now = now
        await known.compare(api, None)

    assert (known.behind(), known.silence()) == (0, 0)


async def test_an_object_that_is_deleted_while_a_list_is_read_does_not_come_back_by_it() -> None:
    api, changed = FakeApi(), list[Key]()
    known = FineTuneJobs(changed.append)
    stored = api.put(FINETUNEJOBS, finetunejob())
    known.seen(stored)

    reading = asyncio.create_task(known.compare(api, None))
    await asyncio.sleep(0)
    known.gone(stored)
    await reading

    assert (known.all_keys(), changed) == ([], [KEY, KEY])


async def test_what_is_newer_than_a_list_is_not_forgotten_for_its_sake() -> None:
    api = FakeApi()
    known = FineTuneJobs(lambda _: None)

    reading = asyncio.create_task(known.compare(api, None))
    await asyncio.sleep(0)
    known.seen(version(1_000_000))
    await reading

    assert known.all_keys() == [KEY]


async def test_what_is_known_is_as_new_as_a_list_and_what_a_watch_brings_may_be_as_old_as_its_silence() -> None:
    clock, api = Clock(), FakeApi()
    known = FineTuneJobs(lambda _: None, clock)
    before = known.current("team-a")

    clock.now = 10
    await known.list(api, None)
    listed = known.current("team-a")
    clock.now = 50
    known.heard(None)
    soon = known.current("team-a")
    clock.now = 500
    known.heard(None)

    assert (before, listed, soon, known.current("team-a")) == (-math.inf, 10, 10, 500 - SILENCE_SECONDS)


def test_each_job_is_told_once_when_it_is_found() -> None:
    found: list[str] = []
    known = FineTuneJobs(lambda _: None, on_found=found.append)

    for raw in (version(5), version(6), version(7, uid="u2"), version(4)):
        known.seen(raw)

    assert found == ["u1", "u2"]


@pytest.mark.parametrize(
    "metadata",
    [None, [], {}, {"name": "odd"}, *({**WHOLE, name: value} for name in WHOLE for value in (None, 7, {}, ""))],
)
async def test_an_object_that_is_not_whole_keeps_no_other_from_being_served(metadata: Any) -> None:
    changed: list[Key] = []
    api = FakeApi()
    api.put(FINETUNEJOBS, finetunejob())
    api.objects[FINETUNEJOBS.plural, "odd"] = {"metadata": metadata, "spec": {}}
    known = FineTuneJobs(changed.append)

    known.seen({"metadata": metadata, "spec": {}})
    await known.compare(api, None)

    assert (changed, known.all_keys()) == ([Key("team-a", "yelp")], [Key("team-a", "yelp")])


def test_of_metadata_kubernetes_may_be_filled_with_and_a_cache_keeps_nothing_of_it() -> None:
    """It takes 256 KiB of annotations, and nearly as much of labels, owners, finalizers and managed fields as an object may hold."""
    full = {
        "annotations": {f"example.com/{number}": "x" * 60_000 for number in range(4)},
        "labels": {f"example.com/{number}": "v" * 63 for number in range(3000)},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "n" * 253, "uid": str(n)} for n in range(1000)],
        "finalizers": [f"example.com/{number}" for number in range(3000)],
        "managedFields": [{"manager": "m" * 128, "fieldsV1": {"f:spec": {f"f:{n}": {} for n in range(3000)}}}],
        "generateName": "g" * 253,
    }

    kept, bare = keep(merged(version(5), {"metadata": full}), lambda _: True), keep(version(5), lambda _: True)

    assert bare is not None
    assert kept == bare
