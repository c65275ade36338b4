"""Models and data from buckets and web servers: copied here once for each content, whole or not at all."""

import os
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from tests.s3_server import BUCKET, S3

from finetune_api.report import ENV_PRIVATE_ADDRESSES, ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage.bucket import Bucket
from finetune_trainer.storage.download import find_source
from finetune_trainer.storage.uris import hub_id, is_hub_id


@pytest.fixture
def there(s3: S3, tmp_path: Path) -> str:
    return f"sources/{tmp_path.name}"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_copied_once_for_each_content(
    s3: S3, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.write(f"{there}/train.csv", b"text,label\n")
    s3.write(f"{there}/deep/er/notes.txt", b"x" * 100_000)
    s3.write(f"{there}/empty/", b"")
    first = find_source(f"s3://{BUCKET}/{there}", "dataset", {})
    with monkeypatch.context() as without_downloads:
        without_downloads.delattr(Bucket, "download")
        again = find_source(f"s3://{BUCKET}/{there}/", "dataset", {})
    s3.write(f"{there}/train.csv", b"text,label\na,b\n")
    changed = find_source(f"s3://{BUCKET}/{there}", "dataset", {})

    assert contents(first) == {"train.csv": b"text,label\n", "deep/er/notes.txt": b"x" * 100_000}
    assert again == first
    assert contents(changed) == {"train.csv": b"text,label\na,b\n", "deep/er/notes.txt": b"x" * 100_000}


def test_a_single_file_keeps_its_name(s3: S3, there: str) -> None:
    s3.write(f"{there}/rows.jsonl", b"{}\n")
    s3.write(f"{there}/rows.jsonl.old", b"not this")

    path = find_source(f"s3://{BUCKET}/{there}/rows.jsonl", "dataset", {})

    assert (path.name, path.read_bytes()) == ("rows.jsonl", b"{}\n")
    assert contents(path.parent).keys() == {"rows.jsonl"}


@pytest.mark.slow
def test_a_copy_that_was_cut_goes_on_with_the_files_that_are_missing(
    s3: S3, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        s3.write(f"{there}/{name}", name.encode() * 1000)
    download, asked = Bucket.download, []

    def download_until_b(self: Bucket, files: dict[str, Path]) -> None:
        asked.extend(files)
        if "b" in files and asked.count("b") == 1:
            files["b"].write_bytes(b"half")
            s3.proxy.die()
        download(self, files)

    monkeypatch.setattr(Bucket, "download", download_until_b)
    monkeypatch.setattr("finetune_trainer.storage.download._FILES_AT_ONCE", 1)
    with pytest.raises(TrainerError) as caught:
        find_source(f"s3://{BUCKET}/{there}", "model", {})
    s3.proxy.work()

    folder = find_source(f"s3://{BUCKET}/{there}", "model", {})

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.INTERNAL, "StorageUnreachable")
    assert contents(folder) == {name: name.encode() * 1000 for name in ("a", "b", "c")}
    assert asked.count("a") == 1


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A web server with a certificate, and the folder that it shows."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    monkeypatch.setenv(ENV_PRIVATE_ADDRESSES, "allow")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    folder = tmp_path / "web"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"https://localhost:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def test_a_file_of_a_web_server_is_copied_with_the_ending_of_its_name(web: tuple[str, Path]) -> None:
    url, folder = web
    (folder / "my rows.csv").write_text("text,label\na,b\n")

    path = find_source(f"{url}/my%20rows.csv?download=true", "dataset", {})

    assert (path.name, path.read_text()) == ("my rows.csv", "text,label\na,b\n")


def test_a_file_of_a_web_server_is_read_anew_when_it_has_changed_there(web: tuple[str, Path]) -> None:
    url, folder = web
    (folder / "rows.csv").write_text("text,label\na,0\n")
    find_source(f"{url}/rows.csv", "dataset", {})
    (folder / "rows.csv").write_text("text,label\na,1\n")
    os.utime(folder / "rows.csv", (1e9, 1e9))

    path = find_source(f"{url}/rows.csv", "dataset", {})

    assert path.read_text() == "text,label\na,1\n"


def test_a_file_that_a_web_server_has_not_is_reported_as_such(web: tuple[str, Path]) -> None:
    with pytest.raises(TrainerError) as caught:
        find_source(f"{web[0]}/none.csv", "dataset", {})

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.DATA, "DatasetNotFound")
    assert caught.value.message == f"dataset.source {web[0]}/none.csv: there is nothing"


def test_a_certificate_that_is_not_trusted_is_reported_as_such(
    web: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(TrainerError) as caught:
        find_source(f"{web[0]}/none.csv", "dataset", {})

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.DATA, "StorageFailed")
    assert "certificate verify failed" in caught.value.message


def test_a_model_at_a_web_server_is_refused() -> None:
    with pytest.raises(TrainerError) as caught:
        find_source("https://host/model", "model", {})

    assert caught.value.exit_code == ExitCode.BAD_CONFIGURATION
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "name"),
    [("org/name", "org/name"), ("hf://org/name", "org/name"), ("hf://datasets/org/name", "org/name"), ("gpt2", "gpt2")],
)
def test_ids_of_the_hub_are_known_with_and_without_their_scheme(source: str, name: str) -> None:
    assert (is_hub_id(source), hub_id(source)) == (True, name)


@pytest.mark.parametrize("source", ["s3://b/x", "gs://b/x", "az://b/x", "https://h/x", "pvc://c/x", "file:///x"])
def test_other_places_are_no_ids_of_the_hub(source: str) -> None:
    assert not is_hub_id(source)
