"""Who does not lead sends no write, however long it has waited for its turn."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.kube.fake_client import FakeClient
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.client import JOBS, Kube
from finetune_operator.kube.errors import NotLeading, brief, retry_after

MANIFEST = {"metadata": {"namespace": "ns", "name": "a", "resourceVersion": "1"}, "status": {}}


class Client(FakeClient):
    """Answers each request by an empty object; `sent` is what came, with the seconds that it may take."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, float]] = []

    async def call_api(
        self, method: str, url: str, headers: dict[str, str], body: Any, *, _request_timeout: float
    ) -> Any:
        self.sent.append((method, _request_timeout))

        async def read() -> bytes:
            return b"{}"

        return SimpleNamespace(status=200, response=SimpleNamespace(read=read))


async def write_each_way(kube: Kube) -> list[str | None]:
    """What each way to write raises, as logs have it: what says the same is logged once."""
    writes = (
        kube.create(JOBS, MANIFEST),
        kube.apply(JOBS, MANIFEST),
        kube.merge(JOBS, "ns", "a", {}),
        kube.replace(JOBS, MANIFEST),
        kube.replace_status(JOBS, MANIFEST),
        kube.delete(JOBS, "ns", "a", "uid"),
    )
    raised = await asyncio.gather(*writes, return_exceptions=True)
    return [brief(each) if isinstance(each, BaseException) else None for each in raised]


async def test_without_the_lease_no_write_is_sent_for_one_cause_and_reads_go_on() -> None:
    client = Client()
    kube = Kube(client, qps=1000, burst=1000, may_write=lambda: 0.0)  # type: ignore[arg-type]

    raised = await write_each_way(kube)
    await kube.get(JOBS, "ns", "a")

    assert raised == ["NotLeading writes are for the leader alone"] * 6
    assert client.sent == [("GET", 30.0)]


async def test_a_write_may_take_no_longer_than_the_lease_holds() -> None:
    client = Client()
    kube = Kube(client, qps=1000, burst=1000, may_write=lambda: 4.0)  # type: ignore[arg-type]

    await write_each_way(kube)

    assert {seconds for _, seconds in client.sent} == {4.0}


def test_a_write_that_waited_until_the_lease_was_lost_is_not_sent() -> None:
    client = Client()

    async def program() -> None:
        loop = asyncio.get_running_loop()
        kube = Kube(client, qps=0.1, burst=1, may_write=lambda: 5.0 - loop.time())  # type: ignore[arg-type]
        kube._budget._rate._clock = loop.time
        await kube.create(JOBS, MANIFEST)
        with pytest.raises(NotLeading):
            await kube.create(JOBS, MANIFEST)

    run_in_virtual_time(program())

    assert client.sent == [("POST", 5.0)]


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        (
            "unable to perform operation on <TCPTransport closed=True reading=False 0x7f>; the handler is closed",
            ConnectionError,
        ),
        ("Timeout context manager should be used inside a task", RuntimeError),
    ],
)
async def test_a_connection_that_was_closed_in_the_moment_in_which_it_was_used_has_failed_as_any_other(
    text: str, raised: type[Exception]
) -> None:
    class Broken(Client):
        async def call_api(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError(text)

    kube = Kube(Broken(), qps=1000, burst=1000)  # type: ignore[arg-type]

    with pytest.raises(raised, match=text[:20]):
        await kube.get(JOBS, "ns", "a")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("1", 1.0),
        ("0", 0.0),
        ("3600", 30.0),
        ("inf", 30.0),
        ("nan", None),
        ("-1", None),
        ("Sun, 29 Nov 2026", None),
        ("", None),
    ],
)
def test_whatever_an_answer_asks_for_nothing_waits_longer_than_half_a_minute(
    header: str, seconds: float | None
) -> None:
    error = refusal(429, "later")
    error.headers = {"Retry-After": header}

    assert retry_after(error) == seconds
