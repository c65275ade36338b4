"""What the jobs of a namespace used in a month, those included that are gone."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.samples import START, finetunejob, merged

from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.monthly_use import MonthlyUse
from finetune_operator.kube.client import CONFIG_MAPS


class Fleet:
    """The jobs that are there, and what an operator counts of them."""

    def __init__(self, api: FakeApi) -> None:
        self.now = START
        self.use = MonthlyUse(api, namespace="finetune", name="reports", clock=lambda: self.now)
        self.jobs = FineTuneJobs(lambda key: None, on_used=self.use.add)
        self._version = 0

    def put(self, name: str, seconds: int, namespace: str = "team-a", month: str = "2026-11") -> dict[str, Any]:
        self._version += 1
        metadata = {"namespace": namespace, "uid": f"{namespace}-{name}", "resourceVersion": str(self._version)}
        status = {"usage": {"month": {"month": month, "gpuSeconds": seconds}}}
        raw = merged(finetunejob(status, name=name), {"metadata": metadata})
        self.jobs.seen(raw)
        return raw

    async def write(self) -> None:
        task = asyncio.create_task(self.use.keep())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def kept(api: FakeApi) -> dict[str, str]:
    data: dict[str, str] = api.objects[CONFIG_MAPS.plural, "reports"]["data"]
    return data


@pytest.mark.parametrize("taken", [{"seconds": 0}, {"seconds": 40}, {"seconds": 900, "month": "2999-12"}])
def test_who_writes_less_into_the_status_of_a_job_gives_its_namespace_nothing_back(
    api: FakeApi, taken: dict[str, Any]
) -> None:
    fleet = Fleet(api)
    fleet.put("a", 100)

    fleet.put("a", **taken)
    forged = fleet.use.used("team-a")
    begun_again = taken["seconds"] if "month" not in taken else 0
    fleet.put("a", begun_again + 7)

    assert forged == 100
    assert fleet.use.used("team-a") == 107


def test_each_namespace_has_the_sum_of_its_jobs_and_a_deleted_one_still_counts(api: FakeApi) -> None:
    fleet = Fleet(api)
    fleet.put("a", 100)
    deleted = fleet.put("b", 50)
    fleet.put("old", 900, month="2026-10")
    fleet.put("c", 7, namespace="team-b")

    fleet.jobs.gone(deleted)

    assert [fleet.use.used(each) for each in ("team-a", "team-b", "team-c")] == [150, 7, 0]


def test_what_a_job_has_used_counts_for_the_next_one_in_the_same_moment(api: FakeApi) -> None:
    fleet = Fleet(api)
    fleet.put("a", 100)

    begun = [fleet.use.used("team-a")]
    for seconds in (101, 160):
        fleet.put("a", seconds)
        begun.append(fleet.use.used("team-a"))

    assert begun == [100, 101, 160]


def test_a_month_that_somebody_made_up_is_kept_nowhere(api: FakeApi) -> None:
    fleet = Fleet(api)

    for year in range(2100, 2200):
        fleet.put("a", 100, month=f"{year}-01")

    assert fleet.use._sums.keys() == set()


def test_a_job_that_was_made_again_under_its_name_counts_twice(api: FakeApi) -> None:
    fleet = Fleet(api)
    first = fleet.put("a", 100)
    again = {**first["metadata"], "uid": "another", "resourceVersion": "99"}

    fleet.jobs.seen({**first, "metadata": again})

    assert fleet.use.used("team-a") == 200


async def test_sums_outlive_the_operator_and_jobs_that_are_deleted_while_none_runs(api: FakeApi) -> None:
    before, after = Fleet(api), Fleet(api)
    before.put("a", 100)
    before.jobs.gone(before.put("b", 50))
    await before.write()
    written = dict(kept(api))

    after.put("c", 30)
    await after.use.read()
    used = after.use.used("team-a")
    after.put("c", 40)
    await after.write()

    assert written == {"team-a": "2026-11 150"}
    assert used == 150
    assert kept(api) == {"team-a": "2026-11 160"}


@pytest.mark.parametrize("text", ["9" * 5000, "-1", "x", "", "²"])
async def test_a_sum_that_is_none_counts_for_nothing_and_is_written_over(api: FakeApi, text: str) -> None:
    api.put(
        CONFIG_MAPS, {"metadata": {"name": "reports", "namespace": "finetune"}, "data": {"team-a": f"2026-11 {text}"}}
    )
    fleet = Fleet(api)
    fleet.put("a", 100)

    await fleet.write()

    assert kept(api) == {"team-a": "2026-11 100"}


async def test_the_jobs_of_a_namespace_that_can_be_listed_only_later_count_once(api: FakeApi) -> None:
    before, after = Fleet(api), Fleet(api)
    before.put("a", 100)
    before.jobs.gone(before.put("b", 50))
    await before.write()

    await after.use.read()
    after.put("a", 100)
    found = after.use.used("team-a")
    after.put("a", 107)
    await after.write()

    assert found == 150
    assert kept(api) == {"team-a": "2026-11 157"}


async def test_a_new_month_begins_at_nothing_and_drops_the_sums_of_the_last(api: FakeApi) -> None:
    fleet = Fleet(api)
    fleet.put("a", 100)
    await fleet.write()

    fleet.now = datetime(2026, 12, 1, tzinfo=UTC) + timedelta(seconds=1)
    fleet.put("b", 5, namespace="team-b", month="2026-12")
    used = fleet.use.used("team-a")
    await fleet.write()

    assert used == 0
    assert {name: text for name, text in kept(api).items() if text} == {"team-b": "2026-12 5"}


async def test_nothing_is_written_where_nothing_has_changed(api: FakeApi) -> None:
    fleet = Fleet(api)
    await fleet.write()
    fleet.put("a", 100)
    await fleet.write()
    api.requests.clear()

    await fleet.write()

    assert api.requests == []


async def test_a_right_that_is_lacking_keeps_nobody_from_working(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.failures |= {"get configmaps": refusal(403, "no"), "merge configmaps": refusal(403, "no")}
    fleet = Fleet(api)
    fleet.put("a", 100)

    await fleet.use.read()
    api.failures.pop("get configmaps")
    await fleet.write()

    assert fleet.use.used("team-a") == 100
    assert "cannot be read" in caplog.text
    assert "cannot be written down" in caplog.text


async def test_an_operator_that_cannot_read_the_sums_takes_nothing_from_them_and_reads_them_when_it_can(
    api: FakeApi,
) -> None:
    before, after = Fleet(api), Fleet(api)
    before.put("a", 100)
    before.jobs.gone(before.put("b", 50))
    await before.write()
    after.put("a", 100)
    api.failures["get configmaps"] = refusal(503, "away")

    await after.use.read()
    await after.write()
    meanwhile = dict(kept(api))
    api.failures.clear()
    await after.write()

    assert meanwhile == {"team-a": "2026-11 150"}
    assert after.use.used("team-a") == 150
    assert kept(api) == {"team-a": "2026-11 150"}
