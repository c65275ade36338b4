"""What a terminal obeys is written to terminals alone, and to none whose user wants no colours; what is drawn anew fits on it."""

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.finetune.api_server import FTJ, PODS, FakeApi
from tests.unit.finetune_cli.conftest import Run

from finetune_cli.app import main

pytestmark = pytest.mark.usefixtures("kubeconfig")

ESCAPE = "\x1b"
CURVES = {
    "training": {
        "steps": " ".join(map(str, range(1, 41))),
        "series": [{"name": "loss", "values": " ".join(map(str, range(40, 0, -1)))}],
    }
}
COMMANDS = [
    ("get",), ("get", "-o", "wide"), ("get", "nobody"), ("get", "--nothing"), ("watch", "failed"), ("logs", "failed"), ("explain", "failed"),
    ("compare", "failed", "done"), ("suspend", "done"), ("download", "done"), ("--help",), ("get", "-o", "json"), ("get", "-o", "yaml"),
]  # fmt: skip


class Terminal(io.StringIO):
    """Both outputs of a program on a terminal."""

    def isatty(self) -> bool:
        return True


Show = Callable[..., str]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    """Run it on a terminal of that size, and return all that is written there."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def run(*arguments: str, columns: int = 80, lines: int = 24, **variables: str) -> str:
        screen = Terminal()
        with monkeypatch.context() as patched:
            for name, value in {"COLUMNS": str(columns), "LINES": str(lines), **variables}.items():
                patched.setenv(name, value)
            patched.setattr(sys, "stdout", screen)
            patched.setattr(sys, "stderr", screen)
            patched.setattr(sys, "argv", ["finetune", *arguments])
            with pytest.raises(SystemExit):
                main()
        return screen.getvalue()

    return run


@pytest.fixture(autouse=True)
def jobs(api_server: FakeApi) -> None:
    failure = {"reason": "ColumnNotFound", "message": "no column 'tag'", "hint": "Name 'tags'."}
    warning = {"reason": "ShortRows", "message": "3 rows are empty"}
    api_server.job("failed", {"seed": 1}, phase="Failed", failure=failure, curves=CURVES, warnings=[warning])
    api_server.job("done", {"seed": 2}, phase="Succeeded", curves=CURVES)
    api_server.pod("failed-0", "Failed", {"terminated": {}}, **{"finetune.dev/job-uid": "uid-failed"})
    api_server.answers["GET", f"{PODS}/failed-0/log"] = lambda _: iter([b"2026-11-28T10:00:00Z trained\n"])


@pytest.mark.parametrize("command", COMMANDS)
def test_no_color_is_honoured_by_every_command(show: Show, command: tuple[str, ...]) -> None:
    shown = show(*command, NO_COLOR="1")

    assert shown
    assert ESCAPE not in shown


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_where_there_is_no_terminal_nothing_is_written_that_one_obeys(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], variable: str
) -> None:
    monkeypatch.setenv(variable, "1")

    result = run(*command)

    assert result.output
    assert ESCAPE not in result.output


@pytest.mark.parametrize(
    "command", [("get",), ("watch", "failed"), ("explain", "failed"), ("compare", "failed", "done")]
)
@pytest.mark.parametrize("no_color", [{}, {"NO_COLOR": ""}])
def test_a_terminal_has_colours_also_where_the_variable_is_empty(
    show: Show, command: tuple[str, ...], no_color: dict[str, str]
) -> None:
    assert f"{ESCAPE}[" in show(*command, **no_color)


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_curves_that_lie_over_each_other_are_told_apart_without_colours_too(
    show: Show, variables: dict[str, str]
) -> None:
    lines = show("compare", "failed", "done", **variables).splitlines()

    named = [line.split() for line in lines if line.startswith("  loss")]
    assert [each[1::2] for each in named] == ([["40", "1", "██▇▇▆▆▆▅▅▄▄▄▃▃▃▂▂▁▁"]] if variables else [])


@pytest.mark.parametrize("count", [2, 4, 6])
def test_without_colours_a_curve_is_a_line_however_many_there_are(show: Show, api_server: FakeApi, count: int) -> None:
    names = [f"run-{number}" for number in range(count)]
    for name in names:
        api_server.job(name, phase="Succeeded", curves=CURVES)

    last = show("compare", *names, NO_COLOR="1").splitlines()[-1].split()

    assert (last[0], last[1::3], last[3::3]) == ("loss", ["40"] * count, ["1"] * count)


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TTY_INTERACTIVE": "0"}])
def test_what_cannot_be_drawn_anew_is_a_line_for_each_change(
    show: Show, api_server: FakeApi, variables: dict[str, str]
) -> None:
    api_server.job("runs", phase="Running", message="step 1")
    follow_by_changes(api_server, 3)

    assert show("watch", "runs", **variables).splitlines() == [
        "runs  Running: step 1",
        "runs  Running: step 2",
        "runs  Running: step 3",
        "runs  Succeeded: trained",
    ]


def follow_by_changes(api_server: FakeApi, count: int, **status: Any) -> None:
    """The job `runs` changes so often, and then ends."""

    def changes(_: object) -> Any:
        for step in range(2, count + 1):
            yield {
                "type": "MODIFIED",
                "object": api_server.job("runs", phase="Running", message=f"step {step}", **status),
            }
        yield {"type": "MODIFIED", "object": api_server.job("runs", phase="Succeeded", message="trained", **status)}

    api_server.answers["WATCH", FTJ] = changes


@pytest.mark.thorough
@pytest.mark.parametrize("columns", [20, 32, 33, 40, 80, 200])
@pytest.mark.parametrize("lines", [5, 10, 24, 60])
def test_a_job_is_drawn_anew_in_its_place_on_a_terminal_of_any_size(
    show: Show, api_server: FakeApi, columns: int, lines: int
) -> None:
    status = {"curves": CURVES, "progress": {"step": 3, "percent": 50, "etaSeconds": 60}}
    api_server.job("runs", phase="Running", message="step 1", **status)
    follow_by_changes(api_server, 9, **status)

    shown = show("watch", "runs", columns=columns, lines=lines)

    screen = Screen(columns, lines)
    screen.write(shown)
    assert screen.text().count("runs") == 1, screen.text()
    assert "Succeeded" in screen.text()


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_program_without_an_output_ends_as_it_would_with_it(monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """Python has None for what was closed before it began, as by `2>&-`."""
    monkeypatch.setattr(sys, closed, None)
    for arguments, code in ((["get"], 0), (["explain", "nobody"], 3)):
        monkeypatch.setattr(sys, "argv", ["finetune", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code


def test_the_wide_list_has_a_line_for_each_job_on_a_narrow_terminal_too(show: Show, api_server: FakeApi) -> None:
    url = "https://mlflow.corp.example/#/experiments/1/runs/0f9be1d4"
    api_server.jobs.clear()
    api_server.job("runs", phase="Running", tracking=[{"tracker": "mlflow", "url": url}])

    told = show("get", "-o", "wide", columns=60).splitlines()

    assert (len(told), told[1].split()[0], told[1].split()[-1]) == (2, "runs", url)


class Screen:
    """As much of a terminal as is needed to see what remains on it: text that wraps, and the cursor sent up and lines cleared."""

    def __init__(self, columns: int, lines: int) -> None:
        self._columns, self._lines = columns, lines
        self._rows: list[str] = [""]
        self._row = self._column = 0

    def write(self, text: str) -> None:
        at = 0
        while at < len(text):
            if text.startswith(f"{ESCAPE}[", at):
                end = next(place for place in range(at + 2, len(text)) if text[place].isalpha())
                self._obey(text[at + 2 : end], text[end])
                at = end + 1
            else:
                self._put(text[at])
                at += 1

    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self._rows)

    def _obey(self, argument: str, letter: str) -> None:
        match letter:
            case "A":
                # It goes no higher than what is in sight.
                self._row = max(self._row - int(argument or 1), len(self._rows) - self._lines, 0)
            case "K":
                self._rows[self._row] = ""
            case "m" | "h" | "l":
                pass
            case _:
                raise AssertionError(f"{argument}{letter} is not known here")

    def _put(self, char: str) -> None:
        if char == "\r":
            self._column = 0
            return
        if char == "\n" or self._column == self._columns:
            self._row, self._column = self._row + 1, 0
            if self._row == len(self._rows):
                self._rows.append("")
        if char != "\n":
            row = self._rows[self._row].ljust(self._column)
            self._rows[self._row] = row[: self._column] + char + row[self._column + 1 :]
            self._column += 1
