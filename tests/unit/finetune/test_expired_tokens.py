"""A token that has expired is made again, or it says so."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.finetune.api_server import FTJ, PODS, FakeApi, Request, status

from finetune import (
    Client,
)
from finetune.api import Api
from finetune.errors import NotKnown

pytestmark = pytest.mark.usefixtures("kubeconfig")


def test_a_token_that_has_expired_is_made_again(api_server: FakeApi, kubeconfig: Path) -> None:
    api_server.job("job")
    answers = iter([status(401, "Unauthorized", "expired"), (200, api_server.jobs["job"])])

    def expire(_: Request) -> tuple[int, Any]:
        kubeconfig.write_text(kubeconfig.read_text().replace('"token": "t"', '"token": "new"'))
        return next(answers)

    api_server.answers["GET", f"{FTJ}/job"] = expire

    with Client() as client:
        client.get("job")

    assert [each.authorization for each in api_server.requests] == ["Bearer t", "Bearer new"]


async def test_a_token_that_is_made_again_leaves_the_streams_that_go_on_alone(api_server: FakeApi) -> None:
    renewed = threading.Event()

    def slowly(_: Request) -> Iterator[bytes]:
        yield b"one\n"
        renewed.wait()
        yield b"two\n"

    api_server.answers["GET", f"{PODS}/pod/log"] = slowly
    api_server.answers["GET", f"{FTJ}/job"] = lambda _: status(401, "Unauthorized", "expired")
    api = Api()
    lines = api.lines(f"{PODS}/pod/log", {})

    read = [await anext(lines)]
    with pytest.raises(NotKnown):
        await api.get(f"{FTJ}/job")
    renewed.set()
    read += [line async for line in lines]
    await api.close()

    assert read == [b"one", b"two"]


def test_credentials_that_have_expired_are_an_error_that_says_to_log_in(api_server: FakeApi) -> None:
    api_server.answers["GET", f"{FTJ}/job"] = lambda _: status(401, "Unauthorized", "Unauthorized")

    with Client() as client, pytest.raises(NotKnown, match=r"Unauthorized: the cluster does not take .* log in"):
        client.get("job")


async def test_requests_at_once_whose_token_has_expired_are_all_told_so(api_server: FakeApi) -> None:
    api_server.answers["GET", f"{FTJ}/job"] = lambda _: status(401, "Unauthorized", "expired")
    api = Api()

    found = await asyncio.gather(*(api.get(f"{FTJ}/job") for _ in range(8)), return_exceptions=True)
    await api.close()

    assert {type(each) for each in found} == {NotKnown}
