"""The log of a job: from before its first pod, through every attempt, each line once."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.s3_server import BUCKET, S3
from tests.unit.finetune.api_server import PODS, Break, FakeApi, Request, status

from finetune import AsyncClient, Client
from finetune.errors import NotFound, NotKnown, Refused
from finetune.logs import moment
from finetune.stored_log import rest_of
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
