"""What all commands have in common, and those that change a job."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.unit.finetune.api_server import FTJ, FakeApi, status
from tests.unit.finetune_cli.conftest import Run

from finetune_cli.app import main
from finetune_cli.commands import COMMANDS

pytestmark = pytest.mark.usefixtures("kubeconfig")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_and_takes_json_or_yaml(run: Run, name: str) -> None:
    result = run(name, "--help")

    assert (result.exit_code, "--output" in result.output) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [(), ("nothing",), ("get", "--nothing"), ("watch",), ("get", "-o", "xml"), ("compare", "a"), ("compare", "a", "a")],
)
def test_a_wrong_command_line_is_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "job"),
        ("watch", "job"),
        ("logs", "job"),
        ("explain", "job"),
        ("compare", "job", "other"),
        ("suspend", "job"),
        ("resume", "job"),
        ("rerun", "job"),
        ("cancel", "job", "--yes"),
    ],
)
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (status(404, "NotFound", 'finetunejobs.finetune.dev "job" not found'), 3),
        (status(403, "Forbidden", "User u cannot get finetunejobs"), 4),
        (status(503, "ServiceUnavailable", "starting"), 5),
    ],
)
def test_what_the_api_server_refuses_is_one_line_on_stderr_and_an_exit_code(
    run: Run, api_server: FakeApi, arguments: tuple[str, ...], answer: tuple[int, Any], code: int
) -> None:
    for path in (FTJ, f"{FTJ}/job", f"{FTJ}/other"):
        for method in ("GET", "PATCH", "DELETE"):
            api_server.answers[method, path] = lambda _: answer

    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert answer[1]["message"] in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_a_kubeconfig_there_is_no_cluster(run: Run, tmp_path: Path) -> None:
    result = run("get", "--kubeconfig", str(tmp_path / "none"))

    assert (result.exit_code, "there is no kubeconfig at" in result.stderr) == (5, True)


def test_a_locale_without_the_characters_ends_no_command(
    run: Run, api_server: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = api_server.job("job", phase="Failed", message="größer — ✕")
    written = []
    for arguments in (["get"], ["get", "job", "-o", "json"], ["get", "job", "-o", "yaml"]):
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="latin-1"))
        monkeypatch.setattr(sys, "argv", ["finetune", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        sys.stdout.flush()
        written.append(out.getvalue().decode("latin-1"))

    assert "? Failed" in written[0]
    assert json.loads(written[1]) == job
    assert YAML(typ="safe").load(written[2]) == job


def test_a_job_is_suspended_resumed_and_run_again(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    codes = [run(*each, "job").exit_code for each in (["suspend"], ["resume"], ["rerun", "--token", "2"])]

    assert (codes, api_server.jobs["job"]["spec"]) == ([0, 0, 0], {"suspend": False, "runToken": "2"})


def test_a_job_is_cancelled_without_a_question_where_nobody_can_answer(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    result = run("cancel", "job")

    assert (result.exit_code, api_server.jobs) == (0, {})


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, ["job"]), ("y\n", 0, [])])
def test_on_a_terminal_cancel_asks_first(
    run: Run, api_server: FakeApi, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: list[str]
) -> None:
    monkeypatch.setattr(sys.modules["finetune_cli.commands.cancel"], "_on_a_terminal", lambda: True)
    api_server.job("job", phase="Running")

    result = run("cancel", "job", stdin=answer)

    assert (result.exit_code, [*api_server.jobs]) == (code, left)
    assert "its pods" in result.output
