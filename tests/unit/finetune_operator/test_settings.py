"""Settings come from the environment, and a wrong one is named."""

import logging
import sys
from collections.abc import Iterator

import pytest

from finetune_operator.__main__ import main
from finetune_operator.settings import Settings


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this process are the tests' own."""
    monkeypatch.setattr(sys, "argv", ["finetune_operator"])


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """The program sets up the logs of its whole process, which here is that of the tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_certificate_is_good_for_the_name_that_pods_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_OPERATOR_REPORTS_URL", "https://finetune-operator.system.svc:8443")

    assert Settings().report_hosts() == ["finetune-operator.system.svc", "localhost", "127.0.0.1"]


@pytest.mark.parametrize(("workers", "later"), [(1, 1), (2, 1), (24, 16)])
def test_two_thirds_of_the_workers_may_do_what_can_wait_and_at_least_one(workers: int, later: int) -> None:
    assert Settings(workers=workers).later_workers() == later


def test_namespaces_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_OPERATOR_WATCH_NAMESPACES", "team-a, team-b,")

    assert Settings().watch_namespaces == ("team-a", "team-b")


def test_a_wrong_setting_ends_the_program_with_its_name_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINETUNE_OPERATOR_WORKERS", "none")

    code = main()

    assert code == 2
    assert capsys.readouterr().err.startswith("error: FINETUNE_OPERATOR_WORKERS: Input should be a valid integer")


def test_without_a_cluster_the_program_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
    monkeypatch.setenv("FINETUNE_OPERATOR_LOG_FORMAT", "text")

    code = main()

    assert code == 2
    assert "no way into a cluster" in capsys.readouterr().err
