"""What Kubernetes warns of is read once a namespace, however many jobs ask."""

import asyncio
from typing import Any

import pytest
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.job.observation import Cause
from finetune_operator.job.warnings import Subject
from finetune_operator.kube.warnings import Warnings


def event(name: str, kind: str, about: str, message: str, uid: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {"large": "x" * 1000}},
        "involvedObject": {"kind": kind, "name": about, "uid": uid or f"uid-of-{about}"},
        "type": "Warning",
        "reason": "Odd",
        "message": message,
        "lastTimestamp": "2026-11-20T12:00:00Z",
    }


def api_with(*events: dict[str, Any]) -> FakeApi:
    api = FakeApi()
    for each in events:
        api.objects["events", each["metadata"]["name"]] = each
    return api


async def test_a_thousand_jobs_that_wait_cost_one_list_and_each_gets_its_own_answer() -> None:
    api = api_with(*(event(f"e{number}", "Pod", f"pod-{number}", f"no room {number}") for number in range(1000)))
    warnings = Warnings(api, lambda: 100.0)
    subjects = [Subject("Pod", f"pod-{number}", f"uid-of-pod-{number}") for number in range(1000)]

    answers = await asyncio.gather(*(warnings.about("team-a", [subject]) for subject in subjects))

    assert api.requests == ["list events"]
    assert [[each.cause for each in answer] for answer in answers] == [
        [Cause("Odd", f"no room {number}")] for number in range(1000)
    ]


async def test_what_is_new_is_known_a_few_seconds_later() -> None:
    now = [100.0]
    api = api_with()
    warnings, claim = Warnings(api, lambda: now[0]), Subject("PersistentVolumeClaim", "data")
    first = await warnings.about("team-a", [claim])
    api.objects["events", "e"] = event("e", "PersistentVolumeClaim", "data", "no StorageClass fast")
    early = await warnings.about("team-a", [claim])
    now[0] += 6
    later = await warnings.about("team-a", [claim])

    assert (first, early) == ([], [])
    assert [each.cause.message for each in later] == ["no StorageClass fast"]


async def test_a_list_that_took_long_counts_for_longer() -> None:
    now = [100.0]

    class SlowApi(FakeApi):
        async def list(self, *arguments: Any, **others: Any) -> Any:
            now[0] += 30
            return await super().list(*arguments, **others)

    api = SlowApi()
    warnings = Warnings(api, lambda: now[0])
    for _ in range(600):
        await warnings.about("team-a", [Subject("Pod", "pod", "uid")])
        now[0] += 1

    assert api.requests.count("list events") <= 3


def test_a_list_that_cannot_be_had_is_asked_for_once_a_minute_and_what_was_known_holds_until_then() -> None:
    class AwayApi(FakeApi):
        is_away = False

        async def list(self, *arguments: Any, **others: Any) -> Any:
            if not self.is_away:
                return await super().list(*arguments, **others)
            self.requests.append("list events")
            await asyncio.sleep(30)
            raise TimeoutError

    async def program() -> tuple[list[int], float]:
        warnings = Warnings(api, asyncio.get_running_loop().time)
        counts = [len(await warnings.about("team-a", [subject]))]
        await asyncio.sleep(6)
        api.is_away, begun = True, asyncio.get_running_loop().time()
        tries = (warnings.about("team-a", [subject]) for _ in range(100))
        failures = await asyncio.gather(*tries, return_exceptions=True)
        counts.append(sum(isinstance(each, TimeoutError) for each in failures))
        took = asyncio.get_running_loop().time() - begun
        for _ in range(2):
            counts.append(len(await warnings.about("team-a", [subject])))
            await asyncio.sleep(29)
        return counts, took

    api, subject = AwayApi(), Subject("Pod", "pod-1", "uid-of-pod-1")
    api.objects["events", "e"] = event("e", "Pod", "pod-1", "no room")

    assert run_in_virtual_time(program()) == ([1, 100, 1, 1], 30)
    assert api.requests == ["list events"] * 2


async def test_warnings_about_what_is_no_child_are_not_kept() -> None:
    api = api_with(event("e", "Node", "pod-1", "not ready", uid="uid-of-pod-1"))

    assert await Warnings(api, lambda: 100.0).about("team-a", [Subject("Pod", "pod-1", "uid-of-pod-1")]) == []


async def test_of_what_somebody_makes_up_a_bounded_part_is_kept() -> None:
    long = event("e", "Pod", "a", "m" * 1_000_000)
    api = api_with(long, event("f", "Pod", "n" * 1_000_000, "of a name that no object has"))
    warnings = Warnings(api, lambda: 100.0)

    answers = [await warnings.about("team-a", [Subject("Pod", name)]) for name in ("a", "n" * 1_000_000)]

    assert [[each.cause.message for each in answer] for answer in answers] == [["m" * 1024], []]


@pytest.mark.slow
async def test_the_warnings_of_all_namespaces_together_are_bounded() -> None:
    api = api_with(*(event(f"e{number}", "Pod", f"pod-{number}", "no room") for number in range(15_000)))
    warnings, subject = Warnings(api, lambda: 100.0), Subject("Pod", "pod-7")

    for namespace in ("team-a", "team-b", "team-c", "team-a"):
        assert len(await warnings.about(namespace, [subject])) == 1

    # That of team-a has gone when those of the others came, and is read again.
    assert api.requests == ["list events"] * 4


async def test_of_thousands_about_one_object_the_newest_few_are_read_and_none_of_the_future_outlasts_those_of_today() -> (
    None
):
    of_the_future = {"lastTimestamp": "8999-01-01T00:00:00Z"}
    made_up = [event(f"f{number}", "Pod", "a", "made up") | of_the_future for number in range(1000)]
    old = [event(f"o{number}", "Pod", "a", "old") for number in range(1000)]
    new = event("e", "Pod", "a", "new") | {"lastTimestamp": "2026-11-20T13:00:00Z"}
    warnings = Warnings(api_with(*made_up, new, *old), lambda: 100.0)

    answer = await warnings.about("team-a", [Subject("Pod", "a", "uid-of-a")])
    alone = await Warnings(api_with(*made_up), lambda: 100.0).about("team-a", [Subject("Pod", "a", "uid-of-a")])

    assert len(answer) == 50
    assert max(answer, key=lambda each: each.seen).cause.message == "new"
    assert len(alone) == 50
