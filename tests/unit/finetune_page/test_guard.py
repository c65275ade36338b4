"""Who the page answers: the browser that came with the token, and nobody by another name or from another site."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from finetune_page.guard import HEALTH, SECURITY_HEADERS, Guard, add_headers, guarded
from finetune_page.server import page_for_kubeconfig

TOKEN = "a-token-of-this-page"


@asynccontextmanager
async def page(token: str | None) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="jobs")

    app = web.Application(middlewares=[guarded(Guard(token))])
    app.on_response_prepare.append(add_headers)
    for path in ("/", "/api/jobs", HEALTH):
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


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("token", [TOKEN, None])
async def test_another_site_reads_nothing_and_may_lead_here(site: str, token: str | None) -> None:
    async with page(token) as client:
        known = {"Cookie": f"finetune={TOKEN}", "Authorization": "Bearer of-a-user", "Sec-Fetch-Site": site}
        assert (await client.get("/api/jobs", headers=known)).status == 403
        assert (await client.get("/api/jobs", headers=known | {"Sec-Fetch-Site": "none"})).status == 200
        assert (await client.get("/", headers=known)).status == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "https://page.example", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://page.example", "X-Forwarded-Host": "page.example"}, 200),
        ({"Origin": "https://page.example"}, 403),
        ({"Origin": "https://evil.example", "X-Forwarded-Host": "page.example"}, 403),
        ({"Origin": "https://page.example", "X-Forwarded-Host": "page.example", "Sec-Fetch-Site": "none"}, 403),
    ],
)
async def test_a_proxy_may_ask_by_another_name(headers: dict[str, str], code: int) -> None:
    async with page(None) as client:
        asked = {"Authorization": "Bearer of-a-user", "Host": "page.finetune.svc"}
        assert (await client.post("/", headers=asked | headers)).status == code


async def test_on_the_loopback_nobody_says_that_the_page_has_another_name() -> None:
    async with page(TOKEN) as client:
        headers = {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example", "Cookie": f"finetune={TOKEN}"}
        assert (await client.post("/", headers=headers)).status == 403


@pytest.mark.parametrize(
    "given", [[], ["Bearer "], ["Basic dXNlcjpwYXNz"], ["of-a-user"], ["Bearer a, Bearer b"], ["Bearer a", "Bearer b"]]
)
async def test_behind_a_proxy_a_request_without_the_one_token_of_its_user_is_refused(given: list[str]) -> None:
    async with page(None) as client:
        response = await client.get("/", headers=[("Authorization", each) for each in given])
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert (await client.get("/", headers={"Authorization": "Bearer of-a.user_~+/-=="})).status == 200


async def test_a_probe_needs_no_token() -> None:
    async with page(None) as client, ClientSession() as session:
        assert (await session.get(client.make_url(HEALTH))).status == 200


async def test_every_answer_forbids_inline_scripts_and_other_hosts_and_is_kept_by_no_proxy() -> None:
    async with page(TOKEN) as client:
        known = {"Cookie": f"finetune={TOKEN}"}
        answers = [await client.get("/"), *[await client.get(path, headers=known) for path in ("/", "/none")]]
        assert [each.status for each in answers] == [401, 200, 404]
        for response in answers:
            assert SECURITY_HEADERS.items() <= dict(response.headers).items()
            assert "unsafe" not in response.headers["Content-Security-Policy"]
            assert response.headers["Cache-Control"] == "no-store"


def test_two_pages_of_one_machine_leave_each_others_cookies_alone() -> None:
    one, other = (page_for_kubeconfig(None, None, context)[1] for context in ("one", "other"))

    assert one.cookie != other.cookie
