"""The page in the cluster: the program of its pod behind a small authenticating proxy, with users of different rights."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.sync_api import expect
from tests.integration.chromium import chromium, needs_chromium, new_visitor
from tests.integration.fixtures import finetunejob, free_port
from tests.integration.space import Space

from devcluster.testing.api import wait_for
from finetune.portal import Portal

PROGRAM = """
import runpy, sys
from pathlib import Path
import finetune.connection
finetune.connection._ACCOUNT = Path(sys.argv.pop(1))
runpy.run_module("finetune_page", run_name="__main__")
"""
"""The pod's command, with the folder of its volume elsewhere."""
OF_THE_HOP = ("host", "cookie", "authorization", "connection", "content-length", "transfer-encoding")

pytestmark = pytest.mark.slow


class Proxy:
    """Knows its users by a cookie, and passes on the token of each in place of whatever a browser sends."""

    def __init__(self, page: str, portal: Portal) -> None:
        self.page = page
        self.tokens: dict[str, str] = {}
        self.portal = portal
        self.address = ""
        self._running = AsyncExitStack()

    def start(self) -> None:
        self.portal.run(self._start())

    def stop(self) -> None:
        self.portal.run(self._running.aclose())

    async def _start(self) -> None:
        self._session = await self._running.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._running.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        token = self.tokens.get(request.cookies.get("session", ""))
        if token is None:
            return web.Response(status=401, text="Log in to the proxy.")
        kept = {name: value for name, value in request.headers.items() if name.lower() not in OF_THE_HOP}
        headers = kept | {"Authorization": f"Bearer {token}", "X-Forwarded-Host": request.host}
        url, body = f"{self.page}{request.path_qs}", await request.read()
        asked = self._session.request(request.method, url, headers=headers, data=body, allow_redirects=False)
        async with asked as answer:
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in OF_THE_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
        return response

    def ask(
        self, user: str, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Code, headers and text of an answer; of a stream its first event that tells of jobs or of a failure."""
        return _ask(self.portal, f"{self.address}{path}", method, {"Cookie": f"session={user}", **(headers or {})})


def _ask(portal: Portal, url: str, method: str, headers: Any) -> tuple[int, dict[str, str], str]:
    async def asked() -> tuple[int, dict[str, str], str]:
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as answer:
            if answer.content_type != "text/event-stream":
                return answer.status, dict(answer.headers), await answer.text()
            text = ""
            while not text.startswith("event: "):
                text = (await answer.content.readuntil(b"\r\n\r\n")).decode()
            return answer.status, dict(answer.headers), text

    return portal.run(asked())


@pytest.fixture(scope="module")
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


@pytest.fixture(scope="module")
def page(space: Space, portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page, which the proxy alone should reach."""
    folder = tmp_path_factory.mktemp("account")
    config = json.loads(space.kubectl("config", "view", "--raw", "-o", "json"))
    cluster = config["clusters"][0]["cluster"]
    authority = cluster.get("certificate-authority-data")
    (folder / "ca.crt").write_bytes(
        base64.b64decode(authority) if authority else Path(cluster["certificate-authority"]).read_bytes()
    )
    (folder / "namespace").write_text(space.namespace)
    host, _, port = cluster["server"].removeprefix("https://").partition(":")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
    }
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", PROGRAM, str(folder), "--port", address.rpartition(":")[2]]
    with subprocess.Popen(command, env=environment) as server:
        try:
            wait_for(lambda: _healthy(portal, address), bool, "the page")
            yield address
        finally:
            server.terminate()


def _healthy(portal: Portal, address: str) -> bool:
    try:
        return _ask(portal, f"{address}/healthz", "GET", {})[0] == 200
    except aiohttp.ClientError:
        return False


@pytest.fixture(scope="module")
def other(space: Space) -> Iterator[Space]:
    """Another team's namespace."""
    made = Space(space.cluster, f"{space.namespace}-other")
    made.create()
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--wait=false")


@pytest.fixture(scope="module")
def proxy(page: str, portal: Portal, space: Space, other: Space) -> Iterator[Proxy]:
    """ann may see and change jobs of the one namespace, eve may see them, ben belongs to the other one."""
    made = Proxy(page, portal)
    verbs = ["get", "list", "watch"]
    for user, where, allowed in (("ann", space, [*verbs, "patch"]), ("eve", space, verbs), ("ben", other, verbs)):
        made.tokens[user] = token_of(where, user, allowed)
    made.start()
    yield made
    made.stop()


def token_of(space: Space, user: str, verbs: list[str]) -> str:
    api = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["finetune.dev"], "resources": ["finetunejobs"], "verbs": verbs}]
    metadata = {"name": f"page-{user}"}
    space.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "namespace": space.namespace, **metadata}],
        },
    )
    return space.kubectl("create", "token", metadata["name"]).strip()


def fake(space: Space, name: str) -> None:
    """Make a job that no operator touches."""
    space.apply(finetunejob(name, managedBy="example.com/nobody"))


@needs_chromium
def test_a_browser_behind_the_proxy_sees_changes_as_they_come_and_its_buttons_work(space: Space, proxy: Proxy) -> None:
    fake(space, "behind-proxy")
    with chromium() as browser, new_visitor(browser) as context:
        context.add_cookies([{"name": "session", "value": "ann", "url": proxy.address}])
        screen = context.new_page()
        screen.goto(f"{proxy.address}/?namespace={space.namespace}")
        expect(screen.get_by_role("link", name="behind-proxy", exact=True)).to_be_visible()
        fake(space, "behind-proxy-later")
        screen.get_by_role("link", name="behind-proxy-later").click()

        screen.get_by_role("button", name="Suspend").click()

        expect(screen.get_by_role("button", name="Resume")).to_be_visible()
        assert space.get("ftj", "behind-proxy-later")["spec"]["suspend"] is True


@pytest.mark.usefixtures("enforced_rights")
def test_each_user_sees_and_does_what_the_cluster_allows_that_user(space: Space, other: Space, proxy: Proxy) -> None:
    fake(space, "of-ann")
    fake(other, "of-ben")
    here, there = (f"/api/jobs?namespace={each.namespace}" for each in (space, other))
    job = f"/api/jobs/{space.namespace}/of-ann"
    suspend, delete = (
        f"{job}/{each}?uid={space.get('ftj', 'of-ann')['metadata']['uid']}" for each in ("suspend", "delete")
    )
    # A Role that was bound a moment ago holds a moment later.
    wait_for(
        lambda: [proxy.ask(user, here)[2] for user in ("ann", "eve")],
        lambda texts: all("of-ann" in text for text in texts),
        "the roles to hold",
    )
    wait_for(lambda: proxy.ask("ben", there)[2], lambda text: "of-ben" in text, "the role to hold")

    for user, path in (("ben", here), ("ann", there), ("eve", there), ("ann", "/api/jobs")):
        text = proxy.ask(user, path)[2]
        assert '"code": 403' in text, (user, path)
        assert "finetunejobs.finetune.dev is forbidden" in text
    assert [proxy.ask(user, f"{job}/explanation")[0] for user in ("ann", "eve", "ben")] == [200, 200, 403]
    rights = {user: json.loads(proxy.ask(user, f"{job}/rights")[2]) for user in ("ann", "eve")}
    assert [rights["ann"]["suspend"], rights["ann"]["delete"], rights["eve"]["suspend"]] == [True, False, False]
    assert [proxy.ask(user, suspend, "POST")[0] for user in ("eve", "ben")] == [403, 403]
    assert "suspend" not in space.get("ftj", "of-ann")["spec"] or not space.get("ftj", "of-ann")["spec"]["suspend"]
    assert proxy.ask("ann", suspend, "POST")[0] == 200
    assert proxy.ask("ann", delete, "POST")[0] == 403
    assert space.get("ftj", "of-ann")["spec"]["suspend"] is True


@pytest.mark.usefixtures("enforced_rights")
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer ann"},
        {"Impersonate-User": "system:admin", "Impersonate-Group": "system:masters"},
        {"X-Remote-User": "system:admin", "X-Remote-Group": "system:masters"},
        {"X-Forwarded-Access-Token": "ann", "X-Forwarded-User": "ann"},
    ],
)
def test_nobody_becomes_another_by_a_header(space: Space, proxy: Proxy, headers: dict[str, str]) -> None:
    smuggled = {name: value.replace("ann", proxy.tokens["ann"]) for name, value in headers.items()}

    text = proxy.ask("ben", f"/api/jobs?namespace={space.namespace}", headers=smuggled)[2]

    assert '"code": 403' in text


@pytest.mark.usefixtures("enforced_rights")
def test_a_token_that_the_cluster_does_not_take_is_told_and_the_next_one_is_enough(space: Space, proxy: Proxy) -> None:
    good = proxy.tokens["ann"]
    here = f"/api/jobs?namespace={space.namespace}"
    proxy.tokens["ann"] = "expired"

    expired = proxy.ask("ann", here)[2]
    proxy.tokens["ann"] = good

    assert "log in to it again" in expired
    wait_for(lambda: proxy.ask("ann", here)[2], lambda text: '"code": 403' not in text, "the role to hold")


def test_without_the_proxy_nothing_is_answered(page: str, portal: Portal, proxy: Proxy) -> None:
    twice = [("Authorization", f"Bearer {proxy.tokens['ann']}"), ("Authorization", "Bearer another")]
    for path in ("/", "/api/me", "/api/jobs", "/static/app.js"):
        for headers in ([], twice):
            assert _ask(portal, f"{page}{path}", "GET", headers)[0] == 401, path
    assert proxy.ask("nobody", "/")[0] == 401


def test_what_another_site_sends_by_a_user_s_browser_changes_and_reads_nothing(space: Space, proxy: Proxy) -> None:
    fake(space, "of-nobody-else")
    path = f"/api/jobs/{space.namespace}/of-nobody-else/suspend?uid={space.get('ftj', 'of-nobody-else')['metadata']['uid']}"

    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert proxy.ask("ann", path, "POST", headers)[0] == 403
    assert proxy.ask("ann", "/api/jobs", headers={"Sec-Fetch-Site": "cross-site"})[0] == 403

    assert space.get("ftj", "of-nobody-else")["spec"].get("suspend") in (None, False)


def test_nothing_of_a_user_is_kept_on_the_way(space: Space, proxy: Proxy) -> None:
    for path in ("/api/me", "/api/jobs", f"/api/jobs/{space.namespace}/none/explanation"):
        headers = proxy.ask("ann", path)[1]
        assert headers["Cache-Control"] == "no-store", path
    headers = proxy.ask("ann", "/static/app.js")[1]
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("private, no-cache", "nosniff")
