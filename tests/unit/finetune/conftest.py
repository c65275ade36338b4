"""A server to ask, and a kubeconfig that names it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.finetune.api_server import FakeApi, serve

from finetune import logs, watching


@pytest.fixture
def api_server() -> FakeApi:
    return FakeApi()


@pytest.fixture
def kubeconfig(api_server: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That of the environment, too. Pauses between tries are short."""
    monkeypatch.setattr(watching, "_PAUSES", (0.01,))
    monkeypatch.setattr(watching, "_POLL_ALL", 0.01)
    monkeypatch.setattr(logs, "_POLL", 0.01)
    for path in serve(api_server, tmp_path):
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield path
