"""A POST to whatever a tenant names: what is sent, where it may go, and what is made of the answer."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from finetune_api.addresses import is_public
from finetune_operator.controller.notices import OF_A_NAMESPACE, OF_A_RECEIVER
from finetune_operator.notify import post
from finetune_operator.notify.post import Poster
from finetune_operator.status.announcements.notices import Answer

NOT_PUBLIC = "its host is at an address that is not public; the profile's notify.privateHosts may allow it"
NO_PROXY: Callable[[], dict[str, str]] = dict


@dataclass
class Receiver:
    """On the loopback, with a certificate for localhost and public.example."""

    url: str = ""
    plain: str = ""
    # Trusts nobody yet, where a default one reads the hundred and more authorities of the machine.
    tls: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    answer: Callable[[web.Request], Any] = lambda _: web.Response()
    taken: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the end of the test."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.taken.append((request.path_qs, dict(request.headers), await request.read()))
        answer = self.answer(request)
        response: web.StreamResponse = await answer if asyncio.iscoroutine(answer) else answer
        return response


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    made, authority = Receiver(), trustme.CA()
    authority.configure_trust(made.tls)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "public.example").configure_cert(context)
    runner = web.ServerRunner(web.Server(made.handle), shutdown_timeout=0)
    await runner.setup()
    for scheme, tls in (("https", context), ("http", None)):
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        setattr(made, "url" if scheme == "https" else "plain", f"{scheme}://localhost:{port}")
    yield made
    made.over.set()
    await runner.cleanup()


@pytest.fixture
def public_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 stands for a public address."""
    monkeypatch.setattr(post, "is_public", lambda address: str(address) == "127.0.0.1" or is_public(address))


async def send(receiver: Receiver, url: str, *, private: bool = False, poster: Poster | None = None) -> Answer:
    sender = poster or Poster(NO_PROXY)
    return await sender.post(url, b"{}", {"webhook-id": "1"}, private=private, tls=receiver.tls)


@pytest.mark.usefixtures("public_loopback")
async def test_a_public_receiver_gets_body_and_headers_and_nothing_else_of_ours(receiver: Receiver) -> None:
    answer = await send(receiver, f"{receiver.url}/hook?x=1")

    ((path, headers, body),) = receiver.taken
    assert answer == Answer(delivered=True)
    assert (path, body, headers["webhook-id"], headers["User-Agent"]) == ("/hook?x=1", b"{}", "1", "finetune-operator")
    assert not {"Authorization", "Cookie", "Proxy-Authorization"} & headers.keys()


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_host_that_may_be_private_is_reached_there(receiver: Receiver, scheme: str) -> None:
    url = receiver.url if scheme == "https" else receiver.plain

    assert await send(receiver, f"{url}/hook", private=True) == Answer(delivered=True)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.0.0.1.nip.example", "169.254.169.254", "10.0.0.1", "100.64.0.1", "0.0.0.0"]
)
async def test_a_private_address_is_not_even_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    look_up_as(monkeypatch, {"127.0.0.1.nip.example": ["127.0.0.1"]})

    answer = await send(receiver, f"{receiver.url.replace('localhost', host)}/hook")

    assert answer == Answer(message=NOT_PUBLIC)
    assert receiver.taken == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001", "0177.0.0.1"])
async def test_a_number_that_stands_for_an_address_leads_to_no_private_one(receiver: Receiver, host: str) -> None:
    answer = await send(receiver, f"{receiver.url.replace('localhost', host)}/hook")

    assert not answer.delivered
    assert receiver.taken == []


@pytest.mark.parametrize(
    "addresses", [["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["fe80::1%1"], ["fd00::1", "10.0.0.1"]]
)
async def test_every_address_of_a_name_is_checked_in_whatever_form(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    look_up_as(monkeypatch, {"public.example": addresses})

    assert await send(receiver, receiver.url.replace("localhost", "public.example")) == Answer(message=NOT_PUBLIC)


@pytest.mark.usefixtures("public_loopback")
async def test_a_name_is_looked_up_once_and_the_very_address_that_was_checked_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = look_up_as(monkeypatch, {"public.example": ["127.0.0.1"]}, then="169.254.169.254")

    answer = await send(receiver, receiver.url.replace("localhost", "public.example"))

    assert (answer, asked) == (Answer(delivered=True), ["public.example"])


@pytest.mark.usefixtures("public_loopback")
async def test_of_a_name_with_a_private_and_a_public_address_the_public_one_is_taken(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up_as(monkeypatch, {"public.example": ["10.0.0.1", "127.0.0.1"]})

    assert (await send(receiver, receiver.url.replace("localhost", "public.example"))).delivered


@pytest.mark.usefixtures("public_loopback")
async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answer = lambda _: web.Response(status=307, headers={"Location": "https://169.254.169.254/"})

    answer = await send(receiver, f"{receiver.url}/hook")

    words = "it answers 307 Temporary Redirect, and redirects are not followed: name the URL that it leads to"
    assert answer == Answer(message=words)
    assert len(receiver.taken) == 1


@pytest.mark.usefixtures("public_loopback")
@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (202, {}, Answer(delivered=True)),
        (404, {}, Answer(message="it answers 404 Not Found")),
        (410, {}, Answer(message="it answers 410 Gone", final=True)),
        (429, {"Retry-After": "120"}, Answer(message="it answers 429 Too Many Requests", retry_after=120)),
        (503, {"Retry-After": "9" * 400}, Answer(message="it answers 503 Service Unavailable", retry_after=86400)),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, Answer(message="it answers 503 Service Unavailable")),
        (599, {}, Answer(message="it answers 599")),
    ],
)
async def test_what_is_answered(receiver: Receiver, status: int, headers: dict[str, str], expected: Answer) -> None:
    receiver.answer = lambda _: web.Response(status=status, headers=headers, reason="<script>", text="secrets")

    assert await send(receiver, receiver.url) == expected


@pytest.mark.usefixtures("public_loopback")
async def test_a_receiver_that_hangs_costs_a_bounded_time(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "TIMEOUT_SECONDS", 0.2)
    receiver.answer = lambda _: receiver.over.wait()

    assert await send(receiver, receiver.url) == Answer(message="no answer within 0 s")


@pytest.mark.usefixtures("public_loopback")
async def test_names_that_are_looked_up_without_end_keep_no_other_from_being_looked_up(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up, answered = socket.getaddrinfo, threading.Event()

    def hang(host: str, *others: Any, **more: Any) -> Any:
        return look_up(host, *others, **more) if host == "localhost" else answered.wait()

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    poster = Poster(NO_PROXY)
    monkeypatch.setattr(post, "TIMEOUT_SECONDS", 0.1)
    # All that one namespace may have under way, again and again.
    for _ in range(4):
        await asyncio.gather(
            *(send(receiver, "https://hangs.example", poster=poster) for _ in range(OF_A_NAMESPACE * OF_A_RECEIVER))
        )
    monkeypatch.setattr(post, "TIMEOUT_SECONDS", 60)

    try:
        answer = await send(receiver, receiver.url, poster=poster)
    finally:
        answered.set()

    assert answer == Answer(delivered=True)


@pytest.mark.usefixtures("public_loopback")
async def test_an_endless_answer_is_not_read(receiver: Receiver) -> None:
    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    receiver.answer = pour

    assert await send(receiver, receiver.url) == Answer(delivered=True)


@pytest.mark.usefixtures("public_loopback")
async def test_endless_headers_are_not_read(receiver: Receiver) -> None:
    receiver.answer = lambda _: web.Response(headers={"X-Long": "x" * 100_000})

    assert await send(receiver, receiver.url) == Answer(message="its answer is not one of HTTP, or breaks off")


@pytest.mark.usefixtures("public_loopback")
async def test_a_certificate_of_no_authority_or_of_another_host_is_not_trusted(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up_as(monkeypatch, {"other.example": ["127.0.0.1"]})
    words = "its certificate is not one of an authority that is trusted for its host"

    stranger = await Poster(NO_PROXY).post(receiver.url, b"", {}, private=False, tls=ssl.create_default_context())

    assert stranger == Answer(message=words)
    assert await send(receiver, receiver.url.replace("localhost", "other.example")) == Answer(message=words)
    assert receiver.taken == []


@pytest.mark.usefixtures("public_loopback")
async def test_what_fails_is_told_without_the_url(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up_as(monkeypatch, {"unknown.example": []})
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        answers = [
            await send(receiver, "https://unknown.example/T0/secret"),
            await send(receiver, f"https://127.0.0.1:{port}/T0/secret"),
            await send(receiver, receiver.plain.replace("http:", "https:")),
        ]

    assert [each.message for each in answers] == [
        "its host cannot be looked up",
        "it cannot be connected to",
        "it speaks no TLS, or another version",
    ]


@pytest.mark.usefixtures("public_loopback")
async def test_a_proxy_makes_the_connection_and_what_is_known_here_is_checked_all_the_same(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up_as(monkeypatch, {"inside.example": ["10.0.0.1"], "outside.example": []})
    through = Poster(lambda: {"http": receiver.plain, "https": receiver.plain})

    inside = await send(receiver, "http://inside.example/hook", poster=through)
    outside = await send(receiver, "http://outside.example/hook", poster=through)

    assert (inside, outside) == (Answer(message=NOT_PUBLIC), Answer(delivered=True))
    assert [headers["Host"] for _, headers, _ in receiver.taken] == ["outside.example"]


def look_up_as(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]], then: str = "") -> list[str]:
    """Have these names these addresses, and `then` another the next time. Return the names that are asked for."""
    asked: list[str] = []
    real: Callable[..., Any] = socket.getaddrinfo

    def look_up(host: str, port: int, *others: Any, **more: Any) -> Any:
        if host not in names:
            return real(host, port, *others, **more)
        addresses = [then] if then and host in asked else names[host]
        asked.append(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        families = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (each, port, 0, 0)[: 4 if ":" in each else 2])
            for family, each in zip(families, addresses, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked
