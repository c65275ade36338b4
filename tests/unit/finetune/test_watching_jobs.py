"""Changes of jobs are told, each once, through everything that a watch can end with."""

import time
from contextlib import aclosing
from typing import Any

import pytest
from tests.unit.finetune.api_server import FTJ, Break, FakeApi, Request, status

from finetune import (
    AsyncClient,
    Client,
    NotFound,
    TimedOut,
)

pytestmark = pytest.mark.usefixtures("kubeconfig")


async def test_who_may_list_and_not_watch_is_told_of_changes_all_the_same(api_server: FakeApi) -> None:
    api_server.answers["WATCH", FTJ] = lambda _: status(403, "Forbidden", "User u cannot watch")
    api_server.job("job", phase="Pending")
    api_server.job("other")
    told = []

    async with AsyncClient() as client, aclosing(client.watch()) as changes:
        async for kind, job in changes:
            told.append((kind, job.name, job.phase))
            if len(told) == 2:
                api_server.job("job", phase="Running")
                del api_server.jobs["other"]
            if len(told) == 4:
                break

    assert told == [
        ("ADDED", "job", "Pending"),
        ("ADDED", "other", "Pending"),
        ("MODIFIED", "job", "Running"),
        ("DELETED", "other", "Pending"),
    ]


def test_a_watch_goes_on_after_it_is_cut_after_410_and_after_an_end_and_tells_nothing_twice(
    api_server: FakeApi,
) -> None:
    api_server.job("job", phase="Pending")
    tries = 0

    def watch(_: Request) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            yield {"type": "MODIFIED", "object": api_server.job("job", phase="Running")}
            raise Break
        if tries == 2:
            api_server.job("job", phase="Running", message="half")
            yield {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
        if tries == 3:
            yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(api_server.version)}}}
        if tries == 4:
            yield {"type": "MODIFIED", "object": api_server.job("job", phase="Succeeded")}

    api_server.answers["WATCH", FTJ] = watch

    with Client() as client:
        seen = [(each.phase, each.status.message) for each in client.get("job").watch()]

    assert seen == [("Pending", None), ("Running", None), ("Running", "half"), ("Succeeded", None)]


@pytest.mark.parametrize(
    "event", [b"no json\n", b"5\n", b'{"type": "MODIFIED"}\n', b'{"type": "ADDED", "object": 5}\n']
)
def test_an_event_that_cannot_be_read_is_read_again(api_server: FakeApi, event: bytes) -> None:
    api_server.job("job", phase="Running")
    events: list[Any] = [event]

    def watch(_: Request) -> Any:
        yield events.pop() if events else {"type": "MODIFIED", "object": api_server.job("job", phase="Succeeded")}

    api_server.answers["WATCH", FTJ] = watch

    with Client() as client:
        assert client.get("job").wait().phase == "Succeeded"


def test_who_may_only_read_a_job_still_follows_it(api_server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.watching._POLL", 0.01)
    api_server.answers["GET", FTJ] = lambda _: status(403, "Forbidden", "cannot list")
    api_server.job("job", phase="Running")

    with Client() as client:
        job = client.get("job")
        changes = job.watch()
        seen = [next(changes).phase]
        api_server.job("job", phase="Succeeded")
        seen += [each.phase for each in changes]

    assert seen == ["Running", "Succeeded"]


def test_a_job_that_is_deleted_while_it_is_waited_for_is_not_found(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    def watch(_: Request) -> Any:
        yield {"type": "DELETED", "object": api_server.jobs.pop("job")}

    api_server.answers["WATCH", FTJ] = watch

    with Client() as client, pytest.raises(NotFound, match="job was deleted"):
        client.get("job").wait()


def test_a_job_of_the_same_name_that_somebody_made_meanwhile_is_another(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    with Client() as client:
        job = client.get("job")
        api_server.jobs["job"]["metadata"] = {**api_server.jobs["job"]["metadata"], "uid": "other"}
        with pytest.raises(NotFound, match="another made under its name"):
            job.wait()


@pytest.mark.parametrize(
    ("phase", "said"), [("Running", "it is Running, and goes on"), ("Suspended", "it is Suspended$")]
)
def test_waiting_ends_at_the_timeout_and_the_job_goes_on(api_server: FakeApi, phase: str, said: str) -> None:
    api_server.job("job", phase=phase)

    def silent(_: Request) -> Any:
        time.sleep(1)
        return iter(())

    api_server.answers["WATCH", FTJ] = silent

    with Client() as client, pytest.raises(TimedOut, match=said):
        client.get("job").wait(timeout=0.05)
