"""A server to ask, and a kubeconfig that names it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.s3_server import S3
from tests.unit.finetune.api_server import FakeApi, serve
from tests.unit.finetune.written_outputs import FILES

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


@pytest.fixture
def bucket(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    for name in s3_server.names("download/"):
        s3_server.delete(name)
    return s3_server


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder as the trainer writes it."""
    folder = tmp_path / "written"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
