"""The command line in this process, against an API server in memory."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import typer.main
import typer.testing
from tests.unit.finetune.conftest import api_server, kubeconfig  # noqa: F401
from typer.testing import CliRunner, Result

from finetune_cli.app import app

Run = Callable[..., Result]


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> Iterator[None]:
    """Of the functions with their annotations, which takes longer than most of what the commands do here; a program does it once, too."""
    made = cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", made)
        patch.setattr(typer.testing, "_get_command", made)
        yield


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run it with these arguments, on a screen of 120 columns."""
    monkeypatch.setenv("COLUMNS", "120")

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=stdin, catch_exceptions=False)

    return invoke
