"""A web server is read by https alone and at public addresses alone, wherever it leads."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from finetune_api.addresses import is_public
from finetune_api.report import ENV_PRIVATE_ADDRESSES, ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage import web
from finetune_trainer.storage.web import WebFile

ROWS = b"text,label\na,b\n"


@dataclass
class Server:
    """On the loopback, with a certificate for localhost."""

    url: str
    answers: dict[str, tuple[int, dict[str, str], bytes]]
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    monkeypatch.delenv(ENV_PRIVATE_ADDRESSES, raising=False)
    made = Server("", {})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(f"{self.command} {self.path}")
            status, headers, body = made.answers.get(f"{self.command} {self.path}") or made.answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - as the library calls it

        def log_message(self, *arguments: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "public.example").configure_cert(context)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    made.url = f"https://localhost:{listening.server_port}"
    yield made
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def public_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 stands for a public address."""
    monkeypatch.setattr(web, "is_public", lambda address: str(address) == "127.0.0.1" or is_public(address))


def refusal(source: WebFile) -> TrainerError:
    with pytest.raises(TrainerError) as caught:
        source.entries()
    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.DATA, "AddressNotAllowed")
    return caught.value


def test_a_private_address_is_not_even_connected_to(server: Server) -> None:
    failure = refusal(WebFile(f"{server.url}/rows.csv?signature=not-for-messages"))

    assert server.asked == []
    assert "is at 127.0.0.1, which is no public address" in failure.message
    assert "not-for-messages" not in failure.message


def test_a_cluster_may_allow_private_addresses(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_PRIVATE_ADDRESSES, "allow")
    server.answers["/rows.csv"] = (200, {"Content-Length": str(len(ROWS)), "ETag": '"1"'}, ROWS)
    source = WebFile(f"{server.url}/rows.csv")

    entries = source.entries()
    source.download({"": tmp_path / "rows"})

    assert ({name: (entry.size, entry.tag) for name, entry in entries.items()}) == {"": (len(ROWS), '"1"')}
    assert (tmp_path / "rows").read_bytes() == ROWS


@pytest.mark.usefixtures("public_loopback")
@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://localhost/rows.csv", "leads to http://localhost, and only https:// is followed"),
        ("ftp://localhost/rows.csv", "only https:// is followed"),
        ("file:///etc/passwd", "only https:// is followed"),
        ("https://user:word@localhost/rows.csv", "only https:// is followed"),
        ("https://169.254.169.254/latest/meta-data", "is at 169.254.169.254"),
        ("https://[::ffff:169.254.169.254]/", "is at ::ffff:169.254.169.254"),
        ("https://[::1]/", "is at ::1"),
        ("https://0x0a000001/", "is at 10.0.0.1"),
        ("//10.0.0.1/rows.csv", "is at 10.0.0.1"),
    ],
)
def test_no_redirect_leads_where_the_source_itself_may_not(server: Server, target: str, why: str) -> None:
    server.answers["/rows.csv"] = (302, {"Location": target}, b"")

    assert why in refusal(WebFile(f"{server.url}/rows.csv")).message
    assert server.asked == ["HEAD /rows.csv"]


@pytest.mark.usefixtures("public_loopback")
def test_a_redirect_to_another_public_file_is_followed_and_a_circle_is_not(server: Server, tmp_path: Path) -> None:
    server.answers["/old"] = (301, {"Location": "/new%20rows.csv?x=1"}, b"")
    server.answers["/new%20rows.csv?x=1"] = (200, {}, ROWS)
    server.answers["/circle"] = (307, {"Location": f"{server.url}/circle"}, b"")

    WebFile(f"{server.url}/old").download({"": tmp_path / "rows"})
    failure = refusal(WebFile(f"{server.url}/circle"))

    assert (tmp_path / "rows").read_bytes() == ROWS
    assert "redirects more than 5 times" in failure.message
    assert server.asked.count("HEAD /circle") == 6


@pytest.mark.usefixtures("public_loopback")
def test_a_name_is_looked_up_once_and_the_very_address_that_was_checked_is_connected_to(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = socket.getaddrinfo
    looked_up: list[str] = []

    def rebound(host: str, port: int, *others: Any, **more: Any) -> Any:
        looked_up.append(host)
        return real("127.0.0.1" if len(looked_up) == 1 else "169.254.169.254", port, *others, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    server.answers["/rows.csv"] = (200, {}, ROWS)

    WebFile(server.url.replace("localhost", "public.example") + "/rows.csv").download({"": tmp_path / "rows"})

    assert looked_up == ["public.example"]
    assert (tmp_path / "rows").read_bytes() == ROWS


@pytest.mark.usefixtures("public_loopback")
def test_of_a_file_without_a_size_only_so_much_is_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_MOST_BYTES", 10)
    server.answers["/rows.csv"] = (200, {}, ROWS)

    with pytest.raises(TrainerError, match="and no size was announced"):
        WebFile(f"{server.url}/rows.csv").download({"": tmp_path / "rows"})


@pytest.mark.usefixtures("public_loopback")
def test_a_link_that_is_signed_for_reading_alone_is_read(server: Server) -> None:
    server.answers["HEAD /rows.csv"] = (403, {}, b"")
    server.answers["GET /rows.csv"] = (200, {"Content-Length": "15"}, ROWS)

    assert WebFile(f"{server.url}/rows.csv").entries()[""].size == 15


@pytest.mark.usefixtures("public_loopback")
@pytest.mark.parametrize(
    ("status", "reason"), [(404, "DatasetNotFound"), (403, "AccessDenied"), (503, "StorageUnreachable")]
)
def test_an_answer_that_is_no_file_is_explained(server: Server, status: int, reason: str) -> None:
    server.answers["/rows.csv"] = (status, {}, b"")

    with pytest.raises(TrainerError) as caught:
        WebFile(f"{server.url}/rows.csv").entries()

    assert caught.value.reason == reason
