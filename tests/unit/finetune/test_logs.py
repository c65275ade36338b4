"""The log of a job: from before its first pod, through every attempt, each line once."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.finetune.api_server import PODS, Break, FakeApi, Request, status

from finetune import Client
from finetune.errors import NotFound, NotKnown, Refused
from finetune.logs import moment
from finetune_api.well_known import LABEL_JOB_UID

pytestmark = pytest.mark.usefixtures("kubeconfig")
RUNNING: dict[str, Any] = {"running": {}}
ENDED: dict[str, Any] = {"terminated": {"exitCode": 1}}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.logs._POLL", 0.01)


def follow(**options: Any) -> list[tuple[str, str]]:
    """Pod and text of each line."""
    with Client() as client:
        return [(each.pod, each.text) for each in client.get("job").logs(**options)]


def test_it_goes_from_pending_through_two_attempts_without_loss_or_repeat(api_server: FakeApi) -> None:
    """The first connection breaks within a second of the log; the second attempt's pod comes after the first has ended."""
    api_server.job("job", phase="Pending", message="needs a GPU")
    log = [
        f"2026-11-28T10:00:0{second}.{tenth}Z line {second}.{tenth}\n" for second in range(3) for tenth in range(1, 4)
    ]
    tries = 0

    def first(request: Request) -> Iterator[bytes]:
        nonlocal tries
        tries += 1
        api_server.job("job", phase="Running")
        if tries == 1:
            yield "".join(log[:5]).encode()
            raise Break
        api_server.pod("one", "Failed", ENDED)
        api_server.pod("two", "Running", RUNNING)
        yield "".join(line for line in log if moment(line.split()[0]) >= moment(request.query["sinceTime"])).encode()  # type: ignore[operator]

    def second(_: Request) -> Iterator[bytes]:
        api_server.job("job", phase="Succeeded")
        api_server.pod("two", "Succeeded", ENDED)
        yield b"2026-11-28T10:00:09.123456789Z the end, without a line break"

    api_server.answers["GET", f"{PODS}/one/log"] = first
    api_server.answers["GET", f"{PODS}/two/log"] = second

    seen: list[tuple[str, str]] = []
    with Client() as client:
        for line in client.get("job").logs(follow=True):
            seen.append((line.pod, line.text))
            api_server.pods or api_server.pod("one", "Running", RUNNING)

    assert seen == [
        ("", "Pending: needs a GPU"),
        *(("one", line.split(" ", 1)[1].rstrip()) for line in log),
        ("two", "the end, without a line break"),
    ]


def test_lines_of_the_same_moment_are_all_shown_once(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")
    api_server.pod("one", "Running", RUNNING)
    log = b"".join(b"2026-11-28T10:00:00Z %d\n" % number for number in range(4))
    tries = 0

    def answer(_: Request) -> Iterator[bytes]:
        nonlocal tries
        tries += 1
        if tries == 1:
            yield log[: len(log) // 2]
            raise Break
        api_server.job("job", phase="Succeeded")
        api_server.pod("one", "Succeeded", ENDED)
        yield log

    api_server.answers["GET", f"{PODS}/one/log"] = answer

    assert follow(follow=True) == [("one", str(number)) for number in range(4)]


def test_lines_without_a_time_are_counted(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")
    api_server.pod("one", "Running", RUNNING)
    tries = 0

    def answer(_: Request) -> Iterator[bytes]:
        nonlocal tries
        tries += 1
        if tries == 1:
            yield b"a\nb\n"
            raise Break
        api_server.job("job", phase="Succeeded")
        api_server.pod("one", "Succeeded", ENDED)
        yield b"a\nb\nc\n"

    api_server.answers["GET", f"{PODS}/one/log"] = answer

    assert follow(follow=True) == [("one", "a"), ("one", "b"), ("one", "c")]


def test_what_a_terminal_obeys_is_not_shown_and_a_line_without_end_is_broken(api_server: FakeApi) -> None:
    api_server.job("job", phase="Succeeded")
    api_server.pod("one", "Succeeded", ENDED)
    text = b"\x1b[2J\x1b]0;title\x07[red]evil[/red] \xff\n" + b"x" * 100_000
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: iter([text])

    first, *rest = follow()

    assert first == ("one", "[red]evil[/red] �")
    assert "".join(text for _, text in rest) == "x" * 100_000
    assert len(rest) > 1


def test_who_may_not_list_pods_reads_the_logs_of_those_that_the_status_names(api_server: FakeApi) -> None:
    api_server.job("job", phase="Succeeded", attempts=[{"number": 1, "pod": "one", "endTime": "2026-11-28T10:00:00Z"}])
    api_server.answers["GET", PODS] = lambda _: status(403, "Forbidden", "cannot list pods")
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: iter([b"trained\n"])

    assert follow() == [("one", "trained")]


@pytest.mark.parametrize("follows", [True, False])
def test_who_may_not_read_logs_is_told_so_once(api_server: FakeApi, follows: bool) -> None:
    api_server.job("job", phase="Succeeded", attempts=[{"number": 1, "pod": "one", "endTime": "2026-11-28T10:00:00Z"}])
    api_server.answers["GET", PODS] = lambda _: status(403, "Forbidden", "cannot list pods")
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: status(403, "Forbidden", "cannot get pods/log")

    ((_, text),) = follow(follow=follows)

    assert text == "the log of pod one is not for you: cannot get pods/log"


@pytest.mark.parametrize("path", [PODS, f"{PODS}/one/log"])
def test_a_login_that_has_expired_is_told_and_taken_for_no_right_that_is_missing(
    api_server: FakeApi, path: str
) -> None:
    api_server.job("job", phase="Running")
    api_server.pod("one", "Running", RUNNING)
    api_server.answers["GET", path] = lambda _: status(401, "Unauthorized", "expired")

    with pytest.raises(NotKnown, match="log in to it again"):
        follow()


def test_a_job_that_is_made_anew_under_the_name_is_not_followed(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")
    api_server.pod("one", "Running", RUNNING)

    def first(_: Request) -> Iterator[bytes]:
        yield b"2026-11-28T10:00:00Z of the first\n"
        del api_server.jobs["job"], api_server.pods["one"]
        api_server.job("job", phase="Succeeded")["metadata"]["uid"] = "uid-another"
        api_server.pod("two", "Succeeded", ENDED, **{LABEL_JOB_UID: "uid-another"})

    api_server.answers["GET", f"{PODS}/one/log"] = first
    api_server.answers["GET", f"{PODS}/two/log"] = lambda _: (200, b"2026-11-28T10:00:09Z of another\n")
    seen: list[str] = []

    with Client() as client, pytest.raises(NotFound, match="job was deleted, and another made under its name"):
        seen.extend(line.text for line in client.get("job").logs(follow=True))

    assert "of another" not in seen


def test_fewer_lines_than_none_are_refused(api_server: FakeApi) -> None:
    """The API server refuses them with an answer like that for a container that has no log yet, for which it is asked again."""
    api_server.job("job", phase="Succeeded")

    with pytest.raises(Refused, match="tail is -1, and must be 0 or more"):
        follow(tail=-1)


def test_a_job_that_waits_says_so_where_nobody_follows(api_server: FakeApi) -> None:
    api_server.job("job", phase="Queued", message="3rd in queue team-a")

    assert follow() == [("", "Queued: 3rd in queue team-a")]


@pytest.mark.parametrize(
    ("spec", "node", "says"),
    [
        ({}, 1, "job trains on 1 node: --node may be 0"),
        ({"resources": {"nodes": 2}}, 2, "job trains on 2 nodes: --node may be 0 to 1"),
        (
            {"resources": {"nodes": 2}},
            1,
            "no pod of node 1 is there any more, and the log that is stored is that of node 0",
        ),
    ],
)
def test_of_a_node_whose_log_is_nowhere_it_says_why(
    api_server: FakeApi, spec: dict[str, Any], node: int, says: str
) -> None:
    api_server.job("job", {"task": "causal-lm", **spec}, phase="Succeeded")

    [(pod, text)] = follow(node=node)

    assert (pod, text[: len(says)]) == ("", says)


def test_of_pods_that_train_together_the_first_one_is_shown_or_the_one_that_is_named(api_server: FakeApi) -> None:
    api_server.job("job", phase="Succeeded")
    for number in range(2):
        index = {"batch.kubernetes.io/job-completion-index": str(number)}
        api_server.pod(f"pod-{number}", "Succeeded", ENDED, **index)
        text = f"node {number}\n".encode()
        api_server.answers["GET", f"{PODS}/pod-{number}/log"] = lambda _, text=text: iter([text])

    assert (follow(), follow(node=1)) == ([("pod-0", "node 0")], [("pod-1", "node 1")])


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-11-28T10:00:01Z", "2026-11-28T10:00:01.5Z"),
        ("2026-11-28T10:00:01.25Z", "2026-11-28T10:00:01.5Z"),
        ("2026-11-28T10:00:01.123456788Z", "2026-11-28T10:00:01.123456789Z"),
        ("2026-11-28T12:00:01.5+02:00", "2026-11-28T10:00:01.6Z"),
    ],
)
def test_times_of_lines_are_compared_to_the_nanosecond(earlier: str, later: str) -> None:
    first, second = moment(earlier), moment(later)

    assert first is not None
    assert second is not None
    assert first < second


@pytest.mark.parametrize("text", ["", "trained", "2026-11-28", "9999-99-99T99:99:99Z"])
def test_what_is_no_time_belongs_to_the_line(text: str) -> None:
    assert moment(text) is None


def test_a_tail_is_of_each_pod_and_a_broken_connection_goes_on_where_it_was(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")
    api_server.pod("one", "Failed", ENDED)
    api_server.pod("two", "Running", RUNNING)
    tails: list[tuple[str, str | None]] = []

    def answer(request: Request) -> Iterator[bytes]:
        tails.append((request.path.split("/")[-2], request.query.get("tailLines")))
        if len(tails) == 1:
            yield b"2026-11-28T10:00:01Z the end of one\n"
        elif len(tails) == 2:
            yield b"2026-11-28T10:00:02Z first of the tail\n"
            raise Break
        else:
            api_server.job("job", phase="Succeeded")
            api_server.pod("two", "Succeeded", ENDED)
            yield b"2026-11-28T10:00:02Z first of the tail\n2026-11-28T10:00:03Z last\n"

    for pod in ("one", "two"):
        api_server.answers["GET", f"{PODS}/{pod}/log"] = answer

    assert follow(follow=True, tail=1) == [("one", "the end of one"), ("two", "first of the tail"), ("two", "last")]
    assert tails[:3] == [("one", "1"), ("two", "1"), ("two", None)]
