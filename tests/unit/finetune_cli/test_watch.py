"""Jobs are followed and waited for, and their logs read, to an exit code that tells the outcome."""

import json
import time
from typing import Any

import pytest
from tests.unit.finetune.api_server import FTJ, PODS, FakeApi, Request
from tests.unit.finetune_cli.conftest import Run
from tests.unit.finetune_cli.served_jobs import FAILURE, HOSTILE, MANIFEST, since

from finetune.client import Job

pytestmark = pytest.mark.usefixtures("kubeconfig")


@pytest.mark.parametrize("how", ["--wait", "--follow"])
def test_the_exit_code_of_a_job_that_is_waited_for_is_its_outcome(run: Run, api_server: FakeApi, how: str) -> None:
    api_server.answers["WATCH", FTJ] = lambda _: iter(
        [{"type": "MODIFIED", "object": api_server.job("job", phase="Succeeded", message="trained")}]
    )
    succeeded = run("submit", "-", how, stdin=MANIFEST)
    api_server.jobs.clear()
    api_server.answers["WATCH", FTJ] = lambda _: iter(
        [{"type": "MODIFIED", "object": api_server.job("job", phase="Failed", failure=FAILURE)}]
    )
    failed = run("submit", "-", how, stdin=MANIFEST)

    assert (succeeded.exit_code, succeeded.stderr) == (0, "")
    assert (failed.exit_code, failed.stderr) == (1, "ColumnNotFound: no column 'tag'\nName 'tags'.\n")


def test_following_where_there_is_no_terminal_writes_a_line_for_each_change(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Running", message="step 1", progress={"step": 1, "percent": 10})
    again = json.loads(json.dumps(api_server.jobs["job"]))
    again["metadata"]["resourceVersion"] = "again"
    end = api_server.job("end", phase="Succeeded", message=HOSTILE)
    end["metadata"] = {**again["metadata"], "resourceVersion": "end"}
    api_server.answers["WATCH", FTJ] = since(again, end)

    result = run("watch", "job")

    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        ["job  Running  █░░░░░░░░░  10 %: step 1", "job  Succeeded: [red]evil[/red]� �[link=http://x]"],
    )


def test_following_for_programs_is_an_object_a_line(run: Run, api_server: FakeApi) -> None:
    first = json.loads(json.dumps(api_server.job("job", phase="Running")))

    def watch(_: Request) -> Any:
        return iter([{"type": "MODIFIED", "object": api_server.job("job", phase="Succeeded")}])

    api_server.answers["WATCH", FTJ] = watch

    result = run("watch", "job", "-o", "json")

    assert [json.loads(line) for line in result.stdout.splitlines()] == [first, api_server.jobs["job"]]


def test_waiting_that_takes_too_long_is_124(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    def silent(_: Request) -> Any:
        time.sleep(1)
        return iter(())

    api_server.answers["WATCH", FTJ] = silent

    result = run("watch", "job", "--timeout", "0.05")

    assert (result.exit_code, "and goes on" in result.stderr) == (124, True)


@pytest.mark.parametrize("arguments", [("watch", "job"), ("submit", "-", "--wait"), ("logs", "-f", "job")])
def test_who_interrupts_is_told_that_the_job_goes_on(
    run: Run, api_server: FakeApi, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    for method in ("watch", "wait", "logs"):
        monkeypatch.setattr(Job, method, interrupt)
    if arguments[0] != "submit":
        api_server.job("job", phase="Running")

    result = run(*arguments, stdin=MANIFEST)

    assert (result.exit_code, result.stderr) == (130, "interrupted: job goes on; `finetune watch job` shows how\n")


def test_the_log_goes_to_stdout_and_what_the_job_waits_for_to_stderr(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Succeeded")
    api_server.pod("one", "Succeeded", {"terminated": {}})
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: iter([b"2026-11-28T10:00:00Z [red]trained\n"])

    plain, timed, lines = run("logs", "job"), run("logs", "job", "--timestamps"), run("logs", "job", "-o", "json")

    assert (plain.stdout, plain.stderr) == ("[red]trained\n", "--- one\n")
    assert timed.stdout == "2026-11-28T10:00:00Z [red]trained\n"
    assert json.loads(lines.stdout) == {"pod": "one", "text": "[red]trained", "time": "2026-11-28T10:00:00Z"}
