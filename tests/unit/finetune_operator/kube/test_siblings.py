"""While the number of shards changes, no two processes serve one namespace: none of them works beside another number."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.job.shard import Shard
from finetune_operator.kube.lease import Lease
from finetune_operator.kube.siblings import Siblings

SECONDS = 10.0


class Process:
    """A pod of a shard; `working` has what it serves while it works."""

    def __init__(self, api: FakeApi, text: str, pod: str, working: dict[str, Shard]) -> None:
        self.shard, self.pod, self.working = Shard.parse(text), pod, working
        clock: Callable[[], float] = asyncio.get_running_loop().time
        self.siblings = Siblings(api, namespace="ns", base="op", shards=self.shard.of, seconds=SECONDS, clock=clock)
        lease = Lease(
            api,
            namespace="ns",
            name=self.shard.name("op"),
            identity=pod,
            seconds=SECONDS,
            metadata=self.siblings.metadata,
            clock=clock,
        )
        self.task = asyncio.create_task(lease.run(self.work))

    async def work(self) -> None:
        await self.siblings.agree()
        self.working[self.pod] = self.shard
        assert len({shard.of for shard in self.working.values()}) == 1
        try:
            await asyncio.Event().wait()
        finally:
            del self.working[self.pod]

    async def end(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def test_pods_of_another_number_wait_until_all_of_the_old_one_have_ended() -> None:
    async def program() -> list[set[str]]:
        api, working, told = FakeApi(), dict[str, Shard](), list[set[str]]()
        old = Process(api, "0/1", "old", working)
        await asyncio.sleep(5)
        new = [Process(api, f"{number}/2", f"new-{number}", working) for number in range(2)]
        await asyncio.sleep(60)
        told.append(set(working))
        await old.end()
        await asyncio.sleep(10)
        told.append(set(working))
        again = Process(api, "0/1", "one again", working)
        await new[0].end()
        await asyncio.sleep(60)
        told.append(set(working))
        await new[1].end()
        await asyncio.sleep(10)
        told.append(set(working))
        await again.end()
        return told

    assert run_in_virtual_time(program()) == [{"old"}, {"new-0", "new-1"}, {"new-1"}, {"one again"}]


def test_one_of_another_number_that_is_gone_without_a_word_is_waited_for_as_long_as_its_lease_holds() -> None:
    async def program() -> tuple[bool, bool]:
        api, working = FakeApi(), dict[str, Shard]()
        old = Process(api, "1/2", "old", working)
        await asyncio.sleep(5)
        lease = api.objects["leases", "op-1"]
        await old.end()
        api.objects["leases", "op-1"] = lease
        new = Process(api, "0/1", "new", working)
        await asyncio.sleep(SECONDS - 0.1)
        too_early = "new" in working
        await asyncio.sleep(3)
        in_time = "new" in working
        await new.end()
        return too_early, in_time

    assert run_in_virtual_time(program()) == (False, True)
