"""The shell completes commands and names of jobs."""

import os
import sys

import pytest
from tests.unit.finetune.api_server import FakeApi
from tests.unit.finetune_cli.conftest import Run

from finetune_cli import kubectl_completion

pytestmark = pytest.mark.usefixtures("kubeconfig")


def test_the_shell_completes_names_of_jobs(api_server: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("yelp", "yelp-2", "chat"):
        api_server.job(name)
    monkeypatch.setenv("_FINETUNE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "finetune watch yel")
    monkeypatch.setenv("COMP_CWORD", "2")

    result = run()

    assert result.stdout.split() == ["yelp", "yelp-2"]


@pytest.mark.parametrize(
    ("words", "answer"), [(["su"], ["submit", "suspend", ":0"]), (["explain", "jo"], ["job", ":0"])]
)
def test_kubectl_completes_commands_and_names_of_jobs(
    api_server: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    answer: list[str],
) -> None:
    api_server.job("job", phase="Running")
    api_server.job("other", phase="Running")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-finetune", *words])

    with pytest.raises(SystemExit):
        kubectl_completion.main()

    assert capsys.readouterr().out.splitlines() == answer
