"""Who holds a Lease, in virtual time: each process with a connection of its own to one API server."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.client import Kind
from finetune_operator.kube.lease import LEASES, Lease
from finetune_operator.kube.retry import keep_running

SECONDS = 10.0


class Connection(FakeApi):
    """The API server as one process reaches it, through a network that may be cut."""

    def __init__(self, server: FakeApi) -> None:
        super().__init__()
        self.objects = server.objects
        self._versions = server._versions
        self.answer: Callable[[], Coroutine[Any, Any, None]] | None = None
        """What each request meets in place of the API server."""

    async def _pass(self) -> None:
        if self.answer is not None:
            await self.answer()

    async def get(self, kind: Kind, namespace: str, name: str, *, on_behalf_of: str = "") -> dict[str, Any] | None:
        await self._pass()
        return await super().get(kind, namespace, name)

    async def create(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        await self._pass()
        return await super().create(kind, manifest)

    async def replace(self, kind: Kind, manifest: dict[str, Any], subresource: str | None = None) -> dict[str, Any]:
        await self._pass()
        return await super().replace(kind, manifest)


async def black_hole() -> None:
    await asyncio.Event().wait()


async def unavailable() -> None:
    raise refusal(503, "no")


class Process:
    """One that wants the Lease; `log` is who worked when."""

    def __init__(self, server: FakeApi, name: str, log: list[tuple[float, str]]) -> None:
        self.name, self.log = name, log
        self.deaf = False
        """Whether its work does not hear the first cancellation."""
        self.connection = Connection(server)
        self.lease = Lease(
            self.connection, namespace="ns", name="op", identity=name, seconds=SECONDS, clock=lambda: self.now()
        )
        self.task = asyncio.create_task(self.lease.run(self.work))

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def work(self) -> None:
        self.log.append((self.now(), f"{self.name} begins"))
        try:
            await self._until_told()
        finally:
            self.log.append((self.now(), f"{self.name} ends"))

    async def _until_told(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not self.deaf:
                raise
            await asyncio.Event().wait()

    async def end(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def story(tell: Callable[["Process", "Process", FakeApi], Coroutine[Any, Any, None]]) -> list[tuple[float, str]]:
    """What two processes do, of which the first one begins to lead."""

    async def program() -> list[tuple[float, str]]:
        server, log = FakeApi(), list[tuple[float, str]]()
        first = Process(server, "first", log)
        await asyncio.sleep(1)
        second = Process(server, "second", log)
        await asyncio.sleep(30)
        await tell(first, second, server)
        seen = [*log]
        await first.end()
        await second.end()
        return seen

    return run_in_virtual_time(program())


def test_one_of_two_leads_and_the_other_knows_it() -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        assert (first.lease.trouble(), second.lease.trouble()) == (None, None)
        assert first.lease.left() >= 0.6 * SECONDS
        assert second.lease.left() == 0
        assert server.objects["leases", "op"]["spec"]["holderIdentity"] == "first"

    assert story(tell) == [(0, "first begins")]


def test_one_that_ends_releases_the_lease_after_its_work_and_the_other_begins_within_a_renewal() -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        await first.end()
        assert server.objects["leases", "op"]["spec"]["holderIdentity"] is None
        await asyncio.sleep(SECONDS / 5 + 0.1)

    times = {what: when for when, what in story(tell)}

    assert times["first ends"] == 31
    assert times["second begins"] <= 31 + SECONDS / 5


@pytest.mark.parametrize(
    ("answer", "why"), [(black_hole, "TimeoutError"), (unavailable, "503 refused")], ids=["black hole", "503"]
)
def test_while_nobody_leads_for_lack_of_an_api_server_each_says_what_it_meets(
    answer: Callable[[], Coroutine[Any, Any, None]], why: str
) -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        for each in (first, second):
            each.connection.answer = answer
        await asyncio.sleep(3 * SECONDS)
        said = {each.lease.trouble() for each in (first, second)}
        assert said == {f"nobody leads by the Lease op: it cannot be had ({why})"}
        for each in (first, second):
            each.connection.answer = None
        await asyncio.sleep(3 * SECONDS)
        assert {each.lease.trouble() for each in (first, second)} == {None}

    story(tell)


@pytest.mark.parametrize("answer", [black_hole, unavailable], ids=["black hole", "503"])
def test_one_that_reaches_the_api_server_no_more_has_stopped_when_the_other_begins(
    answer: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        first.connection.answer = answer
        await asyncio.sleep(1.2 * SECONDS + 0.1)
        assert (first.lease.left(), second.lease.left() > 0) == (0, True)
        assert (first.lease.trouble() or "").startswith("nobody leads")
        first.connection.answer = None
        await asyncio.sleep(60)

    assert [what for _, what in story(tell)] == ["first begins", "first ends", "second begins"]


def test_one_that_reaches_the_api_server_no_more_does_not_say_who_leads_now(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(first: Process, second: Process, _: FakeApi) -> None:
        await second.end()
        first.connection.answer = unavailable
        await asyncio.sleep(30)

    with caplog.at_level("INFO"):
        story(tell)

    said = [each.getMessage() for each in caplog.records if each.getMessage().startswith("first ")]
    assert said == ["first leads by the Lease op", "first does not lead any more"]


def test_one_whose_renewals_come_too_late_may_not_write_and_stands_by() -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        gone_on = asyncio.Event()
        first.connection.answer = gone_on.wait
        await asyncio.sleep(SECONDS)
        assert first.lease.left() == 0
        gone_on.set()
        await asyncio.sleep(2 * SECONDS)

    assert [what for _, what in story(tell)] == ["first begins", "first ends", "second begins"]


def test_work_that_takes_the_end_for_something_else_is_ended_all_the_same_and_the_process_stands_by() -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        first.deaf = True
        first.connection.answer = black_hole
        await asyncio.sleep(60)
        first.connection.answer = None
        await second.end()
        await asyncio.sleep(SECONDS)

    assert [what for _, what in story(tell)] == [
        "first begins",
        "second begins",
        "first ends",
        "second ends",
        "first begins",
    ]


def test_a_renewal_of_which_no_answer_came_is_no_loss() -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        replace = first.connection.replace

        async def takes_effect_and_says_nothing(kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
            await replace(kind, manifest)
            first.connection.replace = replace  # type: ignore[method-assign]
            return await asyncio.Future()

        first.connection.replace = takes_effect_and_says_nothing  # type: ignore[method-assign, assignment]
        await asyncio.sleep(3 * SECONDS)

    assert story(tell) == [(0, "first begins")]


def test_a_lease_that_another_has_written_or_deleted_is_lost_at_the_next_renewal() -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        spec = {**server.objects["leases", "op"]["spec"], "holderIdentity": "an administrator"}
        server.put(LEASES, {**server.objects["leases", "op"], "spec": spec})
        await asyncio.sleep(SECONDS / 5)
        assert first.lease.left() == 0
        await asyncio.sleep(2 * SECONDS)
        leader = first if first.lease.left() else second
        del server.objects["leases", "op"]
        await asyncio.sleep(SECONDS / 5)
        assert leader.log[-1][1].endswith(("ends", "begins"))
        await asyncio.sleep(SECONDS / 5)
        assert [bool(each.lease.left()) for each in (first, second)].count(True) == 1

    events = [what for _, what in story(tell)]

    working = set[str]()
    for what in events:
        name, _, verb = what.partition(" ")
        working = working | {name} if verb == "begins" else working - {name}
        assert len(working) <= 1


def test_one_that_finds_a_lease_waits_for_as_long_as_that_says_since_it_has_looked() -> None:
    async def program() -> list[tuple[float, str]]:
        server, log = FakeApi(), list[tuple[float, str]]()
        spec = {"holderIdentity": "dead", "leaseDurationSeconds": 25, "renewTime": "2099-01-01T00:00:00Z"}
        server.put(LEASES, {"metadata": {"namespace": "ns", "name": "op"}, "spec": spec})
        process = Process(server, "first", log)
        await asyncio.sleep(5)
        assert process.lease.trouble() == "nobody leads by the Lease op: dead does not renew it"
        await asyncio.sleep(25)
        assert process.lease.trouble() is None
        await process.end()
        return log

    assert run_in_virtual_time(program())[0] == (25, "first begins")


def test_a_lease_that_says_that_it_holds_for_years_and_is_not_renewed_is_taken_after_an_hour() -> None:
    async def program() -> list[tuple[float, str]]:
        server, log = FakeApi(), list[tuple[float, str]]()
        spec = {"holderIdentity": "dead", "leaseDurationSeconds": 2**31 - 1, "renewTime": "9999-12-31T23:59:59Z"}
        server.put(LEASES, {"metadata": {"namespace": "ns", "name": "op"}, "spec": spec})
        process = Process(server, "first", log)
        await asyncio.sleep(3610)
        await process.end()
        return log

    assert run_in_virtual_time(program())[0] == (3600, "first begins")


def test_a_lease_that_has_changed_hands_as_often_as_can_be_counted_is_taken_all_the_same() -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        lease = server.objects["leases", "op"]
        spec = {**lease["spec"], "holderIdentity": None, "leaseTransitions": 2_147_483_647}
        await server.replace(LEASES, {**lease, "spec": spec})
        await asyncio.sleep(2 * SECONDS)
        now = server.objects["leases", "op"]["spec"]
        assert (bool(now["holderIdentity"]), now["leaseTransitions"]) == (True, 2_147_483_647)

    story(tell)


def test_one_that_ends_in_the_middle_of_a_renewal_releases_the_lease_all_the_same() -> None:
    async def tell(first: Process, second: Process, server: FakeApi) -> None:
        replace = first.connection.replace

        async def no_answer(*given: Any) -> dict[str, Any]:
            await replace(*given)
            first.connection.replace = replace  # type: ignore[method-assign]
            first.task.cancel()
            return await asyncio.Event().wait()  # type: ignore[return-value]

        first.connection.replace = no_answer  # type: ignore[method-assign, assignment]
        await asyncio.sleep(5)

    log = story(tell)

    begun = [(round(now), what) for now, what in log]
    assert begun[-1][1] == "second begins"
    assert begun[-1][0] - begun[-2][0] <= SECONDS / 5


def test_what_the_work_raises_is_raised_and_the_lease_released() -> None:
    async def program() -> Any:
        server = FakeApi()

        async def fails() -> None:
            raise OSError("the port is taken")

        lease = Lease(server, namespace="ns", name="op", identity="one", seconds=SECONDS, clock=lambda: 0.0)
        with pytest.raises(OSError, match="taken"):
            await lease.run(fails)
        return server.objects["leases", "op"]["spec"]["holderIdentity"]

    assert run_in_virtual_time(program()) is None


def test_one_that_is_told_to_end_while_its_work_ends_for_the_lost_lease_does_not_lead_again() -> None:
    async def program() -> tuple[list[str], bool]:
        server, log = FakeApi(), list[str]()
        connection = Connection(server)
        lease = Lease(
            connection, namespace="ns", name="op", identity="first", seconds=SECONDS,
            clock=asyncio.get_running_loop().time,
        )  # fmt: skip

        async def work() -> None:
            log.append("begins")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(5)

        running = asyncio.create_task(lease.run(work))
        await asyncio.sleep(1)
        connection.answer = unavailable
        await asyncio.sleep(0.9 * SECONDS)
        connection.answer = None

        running.cancel()
        await asyncio.wait([running], timeout=60)
        return log, running.cancelled()

    assert run_in_virtual_time(program()) == (["begins"], True)


def test_one_whose_work_fails_again_and_again_lets_the_other_lead() -> None:
    async def program() -> list[str]:
        server, log = FakeApi(), list[str]()
        processes: list[asyncio.Task[None]] = []
        for name in ("broken", "sound"):
            lease = Lease(
                Connection(server), namespace="ns", name="op", identity=name, seconds=SECONDS,
                clock=asyncio.get_running_loop().time,
            )  # fmt: skip

            async def work(name: str = name) -> None:
                log.append(name)
                if name == "broken":
                    raise KeyError("nobody thought of this")
                await asyncio.Event().wait()

            processes.append(asyncio.create_task(keep_running("leadership", partial(lease.run, work))))
        await asyncio.sleep(120)
        for process in processes:
            process.cancel()
        await asyncio.wait(processes)
        assert server.objects["leases", "op"]["spec"]["holderIdentity"] is None
        return log

    log = run_in_virtual_time(program())

    assert (log[0], log[-1], log.count("sound")) == ("broken", "sound", 1)
    assert log.count("broken") < 10
