"""Who the page answers: the browser that came with the token, and nobody by another name or from another site."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from finetune_page.guard import HEALTH, SECURITY_HEADERS, Guard, guarded
from finetune_page.server import page_for_kubeconfig

TOKEN = "a-token-of-this-page"


@asynccontextmanager
async def page(token: str | None) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="jobs")

    app = web.Application(middlewares=[guarded(Guard(token))])
    for path in ("/", HEALTH):
        app.router.add_get(path, answer)
    app.router.add_post("/", answer)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_a_browser_without_the_token_is_refused() -> None:
    async with page(TOKEN) as client:
        response = await client.get("/")
        assert (response.status, await response.text()) == (401, "Open the address that `finetune ui` printed.")


async def test_the_token_of_the_address_becomes_a_cookie_and_leaves_the_address() -> None:
    async with page(TOKEN) as client:
        response = await client.get("/", params={"token": TOKEN, "namespace": "team-a"}, allow_redirects=False)

        cookie = response.headers["Set-Cookie"]
        assert (response.status, response.headers["Location"]) == (303, "/?namespace=team-a")
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert (await client.get("/")).status == 200


@pytest.mark.parametrize("token", ["", "another", TOKEN + "x", "ä"])
async def test_another_token_is_refused(token: str) -> None:
    async with page(TOKEN) as client:
        assert (await client.get("/", params={"token": token})).status == 401
        assert (await client.get("/", headers={"Cookie": f"finetune={token}"})).status == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
async def test_a_name_that_a_site_bound_to_the_loopback_is_refused(host: str) -> None:
    async with page(TOKEN) as client:
        response = await client.get("/", headers={"Host": host, "Cookie": f"finetune={TOKEN}"})
        assert response.status in (400, 421)


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
@pytest.mark.parametrize("token", [TOKEN, None])
async def test_what_another_site_sends_changes_nothing(headers: dict[str, str], token: str | None) -> None:
    async with page(token) as client:
        known = {"Cookie": f"finetune={TOKEN}", "Authorization": "Bearer of-a-user"}
        assert (await client.post("/", headers=headers | known)).status == 403
        assert (await client.post("/", headers=known)).status == 200


@pytest.mark.parametrize("authorization", [None, "Bearer ", "Basic dXNlcjpwYXNz", "of-a-user"])
async def test_behind_a_proxy_a_request_without_a_users_token_is_refused(authorization: str | None) -> None:
    async with page(None) as client:
        headers = {"Authorization": authorization} if authorization else {}
        assert (await client.get("/", headers=headers)).status == 401
        assert (await client.get("/", headers={"Authorization": "Bearer of-a-user"})).status == 200


async def test_a_probe_needs_no_token() -> None:
    async with page(None) as client, ClientSession() as session:
        assert (await session.get(client.make_url(HEALTH))).status == 200


async def test_every_answer_forbids_inline_scripts_and_other_hosts() -> None:
    async with page(TOKEN) as client:
        for response in (await client.get("/"), await client.get("/", headers={"Cookie": f"finetune={TOKEN}"})):
            assert SECURITY_HEADERS.items() <= dict(response.headers).items()
            assert "unsafe" not in response.headers["Content-Security-Policy"]


def test_two_pages_of_one_machine_leave_each_others_cookies_alone() -> None:
    one, other = (page_for_kubeconfig(None, None, context)[1] for context in ("one", "other"))

    assert one.cookie != other.cookie
