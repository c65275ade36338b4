"""The command line in this process, against an API server in memory."""

from collections.abc import Callable

import pytest
from tests.unit.finetune.conftest import api_server, kubeconfig  # noqa: F401
from typer.testing import CliRunner, Result

from finetune_cli.app import app

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run it with these arguments, on a screen of 120 columns."""
    monkeypatch.setenv("COLUMNS", "120")

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=stdin, catch_exceptions=False)

    return invoke
