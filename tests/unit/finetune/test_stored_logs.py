"""The log of a job whose pod is gone, is not for the user, or is on a node that does not answer: that which is stored."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.s3_server import BUCKET, S3
from tests.unit.finetune.api_server import PODS, Break, FakeApi, Request, status
from tests.unit.finetune.test_logs import ENDED, RUNNING, _no_pauses, follow  # noqa: F401

from finetune import AsyncClient, Client
from finetune.stored_log import rest_of

pytestmark = pytest.mark.usefixtures("kubeconfig")


@pytest.mark.parametrize("answer", [status(404, "NotFound", "no pod"), status(403, "Forbidden", "no right")])
def test_the_log_that_is_stored_in_a_bucket_is_shown_where_the_pod_has_none(
    api_server: FakeApi, s3_server: S3, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    s3_server.write("job/logs/one.log", b"trained\x1b[2J\nsaved\n")
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    attempt = {"number": 1, "pod": "one", "endTime": "2026-11-28T10:00:00Z", "log": f"s3://{BUCKET}/job/logs/one.log"}
    api_server.job("job", phase="Succeeded", attempts=[attempt])
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: answer

    _, *lines = follow()

    assert lines == [("one", "trained"), ("one", "saved")]
    assert (follow(tail=1)[1:], follow(tail=0)[1:]) == ([("one", "saved")], [])


NODE_AWAY = status(500, "InternalError", "dial tcp 10.0.0.7:10250: no route to host")

CREATED = status(400, "BadRequest", 'container "trainer" in pod "one" is waiting to start: ContainerCreating')


@pytest.mark.timeout(60)
@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("answer", [NODE_AWAY, CREATED])
def test_of_an_ended_pod_whose_node_does_not_answer_the_stored_log_is_taken(
    api_server: FakeApi, follows: bool, answer: Any
) -> None:
    uri = "pvc://job/logs/one.log"
    attempt = {"number": 1, "pod": "one", "endTime": "2026-11-28T10:00:00Z", "log": uri}
    api_server.job("job", phase="Succeeded", attempts=[attempt])
    api_server.pod("one", "Succeeded", ENDED)
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: answer

    (_, why), *rest = follow(follow=follows)

    assert why.startswith("the log of pod one cannot be read: ")
    assert why.endswith(answer[1]["message"])
    assert rest == [("", f"its log is stored at {uri}")]


@pytest.mark.timeout(60)
def test_of_a_pod_that_runs_on_a_node_that_does_not_answer_it_says_so_once_and_waits(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running", attempts=[{"number": 1, "pod": "one"}])
    api_server.pod("one", "Running", RUNNING)
    tries = 0

    def back_at_last(_: Request) -> Any:
        nonlocal tries
        tries += 1
        if tries < 12:
            return NODE_AWAY
        api_server.job("job", phase="Succeeded", attempts=[{"number": 1, "pod": "one"}])
        api_server.pod("one", "Succeeded", ENDED)
        return iter([b"2026-11-28T10:00:01Z trained\n"])

    api_server.answers["GET", f"{PODS}/one/log"] = back_at_last

    (_, why), *rest = follow(follow=True)

    assert why.startswith("the log of pod one cannot be read now: ")
    assert rest == [("one", "trained")]


def test_of_a_pod_that_goes_while_its_log_is_read_the_rest_is_that_which_is_stored(
    api_server: FakeApi, s3_server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a laptop sleeps, or a node is lost: the connection breaks, and there is no pod to go on with."""
    s3_server.write("job/logs/one.log", b"step 1\nsaved\nstep 2\nsaved\nstep 3\n")
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    uri = f"s3://{BUCKET}/job/logs/one.log"
    attempt = {"number": 1, "pod": "one", "endTime": "2026-11-28T10:01:00Z", "log": uri}
    api_server.job("job", phase="Running", attempts=[{**attempt, "endTime": None}])
    api_server.pod("one", "Running", RUNNING)

    def broken(_: Request) -> Iterator[bytes]:
        api_server.answers["GET", f"{PODS}/one/log"] = lambda _: status(404, "NotFound", "no pod")
        api_server.pods.clear()
        api_server.job("job", phase="Succeeded", attempts=[attempt])
        yield b"2026-11-28T10:00:01Z step 1\n2026-11-28T10:00:02Z a library's own\n2026-11-28T10:00:03Z saved\n"
        raise Break

    api_server.answers["GET", f"{PODS}/one/log"] = broken

    assert follow(follow=True) == [
        ("one", "step 1"),
        ("one", "a library's own"),
        ("one", "saved"),
        ("", "pod one is gone"),
        ("", f"the rest of its log, as it is stored at {uri}:"),
        ("one", "step 2"),
        ("one", "saved"),
        ("one", "step 3"),
    ]


@pytest.mark.parametrize(
    ("shown", "rest"),
    [
        ([], "abacad"),
        (["x"], "abacad"),
        (["a"], "bacad"),
        ("aba", "cad"),
        ("abaca", "d"),
        ("axbxxaxc", "ad"),
        ("abacad", ""),
        ("ca", "d"),
    ],
)
def test_a_stored_log_goes_on_where_the_lines_that_were_shown_end(shown: list[str], rest: str) -> None:
    assert [*rest_of([*"abacad"], [*shown])] == [*rest]


@pytest.mark.parametrize("pods_are_listed", [True, False])
def test_who_may_not_read_the_log_of_a_run_that_goes_on_has_the_stored_one_at_its_end(
    api_server: FakeApi, s3_server: S3, monkeypatch: pytest.MonkeyPatch, pods_are_listed: bool
) -> None:
    s3_server.write("job/logs/one.log", b"trained\nsaved\n")
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    attempt = {"number": 1, "pod": "one", "startTime": "2026-11-28T10:00:00Z"}
    ended = {**attempt, "endTime": "2026-11-28T10:01:00Z", "log": f"s3://{BUCKET}/job/logs/one.log"}
    api_server.job("job", phase="Running", attempts=[attempt])
    api_server.pod("one", "Running", RUNNING)
    asked = 0

    def no_right(_: Request) -> Any:
        nonlocal asked
        asked += 1
        return status(403, "Forbidden", "cannot get pods/log")

    api_server.answers["GET", f"{PODS}/one/log"] = no_right
    if not pods_are_listed:
        api_server.answers["GET", PODS] = lambda _: status(403, "Forbidden", "cannot list pods")
    seen: list[tuple[str, str]] = []

    with Client() as client:
        for line in client.get("job").logs(follow=True):
            seen.append((line.pod, line.text))
            if len(seen) == 2:  # all there is to say while it trains
                api_server.pod("one", "Succeeded", ENDED)
                api_server.job("job", phase="Succeeded", attempts=[ended])

    assert seen == [
        ("", "the log of pod one is not for you: cannot get pods/log"),
        ("", "it is stored once this attempt has ended"),
        ("one", "trained"),
        ("one", "saved"),
    ]
    assert asked == 1


def test_a_log_of_which_a_part_is_stored_is_taken_whole_at_the_end_of_its_attempt(
    api_server: FakeApi, s3_server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.write("job/logs/one.log", b"trained\n")
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    attempt = {"number": 1, "pod": "one", "startTime": "2026-11-28T10:00:00Z", "log": f"s3://{BUCKET}/job/logs/one.log"}
    api_server.job("job", phase="Running", attempts=[attempt])
    api_server.pod("one", "Running", RUNNING)
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: status(403, "Forbidden", "cannot get pods/log")
    seen: list[tuple[str, str]] = []

    with Client() as client:
        now = [(line.pod, line.text) for line in client.get("job").logs(follow=False)]
        for line in client.get("job").logs(follow=True):
            seen.append((line.pod, line.text))
            if len(seen) == 2:  # all there is to say while it trains
                s3_server.write("job/logs/one.log", b"trained\nsaved\n")
                api_server.pod("one", "Succeeded", ENDED)
                api_server.job("job", phase="Succeeded", attempts=[{**attempt, "endTime": "2026-11-28T10:01:00Z"}])

    not_for_you = ("", "the log of pod one is not for you: cannot get pods/log")
    assert now == [not_for_you, ("", "so far this is stored:"), ("one", "trained")]
    assert seen == [
        not_for_you,
        ("", "it is stored once this attempt has ended"),
        ("one", "trained"),
        ("one", "saved"),
    ]


def test_who_may_not_read_the_log_and_does_not_wait_is_told_when_it_is_stored(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running", attempts=[{"number": 1, "pod": "one", "startTime": "2026-11-28T10:00:00Z"}])
    api_server.pod("one", "Running", RUNNING)
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: status(403, "Forbidden", "cannot get pods/log")

    texts = [text for _, text in follow()]

    assert texts == [
        "the log of pod one is not for you: cannot get pods/log",
        "it is stored once this attempt has ended",
    ]


async def test_a_bucket_is_not_read_for_somebody_else(api_server: FakeApi, s3_server: S3) -> None:
    """Its credentials are those of the process, and who writes a status would choose what it reads."""
    s3_server.write("secret.txt", b"of another team\n")
    uri = f"s3://{BUCKET}/secret.txt"
    attempt = {"number": 1, "pod": "one", "endTime": "2026-11-28T10:00:00Z", "log": uri}
    api_server.job("job", phase="Succeeded", attempts=[attempt])

    async with AsyncClient() as client:
        job = await client.get("job")
        lines = [line.text async for line in job.logs(from_buckets=False)]

    assert lines == ["pod one is gone", f"its log is stored at {uri}"]


def test_a_log_that_is_stored_on_a_claim_is_named(api_server: FakeApi) -> None:
    attempt = {"number": 1, "pod": "one", "endTime": "2026-11-28T10:00:00Z", "log": "pvc://job/logs/one.log"}
    api_server.job("job", phase="Succeeded", attempts=[attempt])
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: status(404, "NotFound", "no pod")

    assert follow() == [("", "pod one is gone"), ("", "its log is stored at pvc://job/logs/one.log")]


def test_the_place_is_found_soon_in_a_log_that_says_one_line_again_and_again() -> None:
    compared = 0

    class Line(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        def __ne__(self, other: object) -> bool:
            return not self == other

    stored = [Line("waiting")] * 5000

    assert len(rest_of(stored, [Line("waiting")] * 100)) == 4900
    assert compared < 20_000
