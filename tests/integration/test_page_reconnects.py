"""The page in a real Chromium when its connection breaks: what is on the screen afterwards. The cluster is in memory."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect
from tests.integration.chromium import never_tries_by_itself
from tests.integration.page_in_memory import Server, api_server, browser, in_chromium, kubeconfig, page, server  # noqa: F401
from tests.unit.finetune.api_server import FTJ, Break, FakeApi, Request, status

LOG = "/api/v1/namespaces/team-a/pods/stays-0/log"
pytestmark = in_chromium


def refused(_: Request) -> Any:
    return status(401, "Unauthorized", "Unauthorized")


def test_a_job_that_was_deleted_meanwhile_is_gone_and_what_was_chosen_stays(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    api_server.job("stays", phase="Running")
    api_server.job("leaves", phase="Running")
    page.reload()
    expect(page.locator(".rows .row")).to_have_count(2)
    page.get_by_label("Compare stays").check()

    server.stop()
    expect(page.get_by_role("alert")).to_contain_text("The page's server does not answer.")
    del api_server.jobs["leaves"]
    server.start()

    expect(page.locator(".rows .row")).to_have_count(1)
    expect(page.get_by_label("Compare stays")).to_be_checked()
    expect(page.get_by_role("alert")).to_be_empty()


# How long a server takes to come back is another matter on a busy machine: the grace ends once the test says so.
HELD_GRACE = """
window.grace = new Map();
const [set, clear] = [window.setTimeout, window.clearTimeout];
window.setTimeout = (act, ...rest) => {
  if (act.name !== "tell") return set(act, ...rest);
  window.grace.set(1e9, act);
  return 1e9;
};
window.clearTimeout = (timer) => { if (!window.grace.delete(timer)) clear(timer); };
"""


def test_a_connection_that_a_proxy_cuts_is_made_again_without_a_word(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    api_server.job("stays", phase="Running")
    page.add_init_script(HELD_GRACE)
    page.reload()
    expect(page.locator(".rows .row")).to_have_count(1)
    page.evaluate(
        "window.told = []; new MutationObserver(() => told.push(document.getElementById('alarm').textContent))"
        ".observe(document.getElementById('alarm'), { childList: true, subtree: true, characterData: true })"
    )

    server.stop()
    api_server.job("comes", phase="Running")
    server.start()

    expect(page.locator(".rows .row")).to_have_count(2)
    page.evaluate("grace.forEach((end) => end())")
    assert page.evaluate("window.told") == []


def test_a_sum_stays_until_all_jobs_have_come_again(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    one, two = (api_server.job(name, phase="Running") for name in ("one", "two"))
    rest = Event()

    def listed(request: Request) -> Any:
        if request.query.get("continue"):
            rest.wait()
            return 200, {"metadata": {"resourceVersion": "9"}, "items": [two]}
        return 200, {"metadata": {"resourceVersion": "9", "continue": "two"}, "items": [one]}

    page.goto(f"{server.address}/usage")
    expect(page.locator(".used tbody tr")).to_have_count(2)

    server.stop()
    expect(page.get_by_role("alert")).to_contain_text("The page's server does not answer.")
    api_server.answers["GET", FTJ] = listed
    server.start()

    expect(page.get_by_role("alert")).to_be_empty()  # the first of them has come
    assert page.locator(".used tbody tr").count() == 2
    rest.set()


def test_a_log_has_no_line_twice(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    lines, over = ["first", "second"], Event()

    def log(_: Request) -> Iterator[bytes]:
        yield "".join(f"{line}\n" for line in lines).encode()
        over.wait()

    api_server.job("stays", phase="Running", attempts=[{"number": 1, "pod": "stays-0"}])
    api_server.pod("stays-0", "Running", {"running": {}}, **{"finetune.dev/job-uid": "uid-stays"})
    api_server.answers["GET", LOG] = log
    page.goto(f"{server.address}/jobs/team-a/stays")
    page.get_by_text("Log", exact=True).click()
    expect(page.locator(".lines > div")).to_have_text(["first", "second"])

    server.stop()
    lines.append("third")
    server.start()

    expect(page.locator(".lines > div")).to_have_text(["first", "second", "third"])
    over.set()


def look(page: Page, at: bool) -> None:  # noqa: F811
    """Turn to this tab, or to another. A headless browser shows all of them at once."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        not at,
    )


def test_more_tabs_than_a_browser_has_connections_are_all_shown(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    # All is listed again and again: the tab that is looked at last may have its connection still.
    api_server.answers["WATCH", FTJ] = lambda _: status(410, "Expired", "too old")
    api_server.job("stays", phase="Queued")
    tabs = [page]
    for tab in (page.context.new_page() for _ in range(7)):
        look(tabs[-1], at=False)
        tab.goto(f"{server.address}/jobs/team-a/stays")
        expect(tab.locator(".title")).to_contain_text("Queued")
        tabs.append(tab)
    api_server.job("stays", phase="Running")

    look(tabs[-1], at=False)
    look(tabs[1], at=True)

    expect(tabs[1].locator(".title")).to_contain_text("Running")


def test_what_a_reader_has_opened_stays_open_and_a_button_keeps_the_focus(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    changed, over = Event(), Event()

    def changes(_: Request) -> Iterator[Any]:
        changed.wait()
        yield {"type": "MODIFIED", "object": api_server.job("stays", phase="Running", message="later", **kept)}
        over.wait()

    kept: dict[str, Any] = {"provenance": {"seed": 3}}
    api_server.job("stays", phase="Running", message="before", **kept)
    api_server.answers["WATCH", FTJ] = changes
    page.goto(f"{server.address}/jobs/team-a/stays")
    page.get_by_text("Provenance and profile").click()
    page.get_by_role("button", name="Copy manifest").focus()

    changed.set()

    expect(page.locator(".jobhead .message")).to_have_text("later")
    expect(page.locator("#provenance table")).to_be_visible()
    expect(page.get_by_role("button", name="Copy manifest")).to_be_focused()
    over.set()


def test_an_api_server_that_is_gone_is_told_at_the_top_until_it_is_back(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    is_down, over = Event(), Event()

    def watch(_: Request) -> Iterator[Any]:
        is_down.wait()
        raise Break
        yield

    def later(_: Request) -> Iterator[Any]:
        over.wait()
        yield from ()

    def down(_: Request) -> Any:
        return status(503, "ServiceUnavailable", "no etcd")

    api_server.job("stays", phase="Running", message="before")
    api_server.answers["WATCH", FTJ] = watch
    page.goto(f"{server.address}/jobs/team-a/stays")
    expect(page.locator(".message")).to_have_text("before")
    expect(page.get_by_role("alert")).to_be_empty()

    api_server.answers |= {("GET", FTJ): down, ("WATCH", FTJ): down}
    is_down.set()
    expect(page.get_by_role("alert")).to_contain_text("the API server cannot answer now (503): no etcd")
    expect(page.locator(".message")).to_have_text("before")
    api_server.job("stays", phase="Running", message="after")
    del api_server.answers["GET", FTJ]
    api_server.answers["WATCH", FTJ] = later

    expect(page.locator(".message")).to_have_text("after")
    expect(page.get_by_role("alert")).to_be_empty()
    over.set()


def test_an_api_server_that_goes_away_as_a_view_opens_is_told_beside_what_was_read(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    api_server.job("stays", phase="Running", message="before")
    api_server.answers["GET", FTJ] = lambda _: status(503, "ServiceUnavailable", "no etcd")

    page.goto(f"{server.address}/jobs/team-a/stays")

    expect(page.get_by_role("alert")).to_contain_text("the API server cannot answer now (503): no etcd")
    expect(page.locator(".message")).to_have_text("before")
    del api_server.answers["GET", FTJ]
    expect(page.get_by_role("alert")).to_be_empty()


@pytest.mark.parametrize("view", ["", "usage"])
def test_a_cluster_without_the_kind_is_told_and_asked_again(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
    view: str,
) -> None:
    api_server.answers["GET", FTJ] = lambda _: (404, b"404 page not found")

    page.goto(f"{server.address}/{view}")

    expect(page.get_by_role("alert")).to_contain_text("this cluster knows no FineTuneJobs")
    api_server.job("comes", phase="Running")
    del api_server.answers["GET", FTJ]
    expect(page.get_by_role("main")).to_contain_text("comes")
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_view_that_was_left_while_its_connection_broke_says_and_asks_nothing_more(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    api_server.job("stays", phase="Running")
    asked: list[Route] = []
    page.reload()
    expect(page.locator(".rows .row")).to_have_count(1)
    page.route("**/api/jobs/team-a/stays", lambda route: route.fulfill(status=502))
    page.route("**/api/me", lambda route: asked.append(route))
    with page.expect_request("**/api/me"):
        page.get_by_role("link", name="stays").click()
    page.keyboard.press("Escape")
    expect(page.locator(".rows .row")).to_have_count(1)

    with page.expect_response("**/api/me"):
        asked[0].fulfill(json={"namespace": "team-a", "now": "2026-11-28T10:00:00Z"})
    page.evaluate(
        "fetch('/healthz').then((answer) => answer.text())"
    )  # what the view does with its answer is done by then

    assert page.get_by_role("alert").text_content() == ""


def test_credentials_that_have_expired_are_told_and_new_ones_are_enough(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    api_server.job("stays", phase="Running")
    api_server.answers["GET", FTJ] = refused

    never_tries_by_itself(page)
    page.goto(f"{server.address}/")
    expect(page.get_by_role("alert")).to_contain_text("log in to it again")
    del api_server.answers["GET", FTJ]
    page.get_by_role("button", name="Try now").click()

    expect(page.locator(".rows .row")).to_have_count(1)
    expect(page.get_by_role("alert")).to_be_empty()


@pytest.mark.parametrize(
    ("path", "stays"), [("/", "stays"), ("/jobs/team-a/stays", "trains"), ("/usage", "GPU-hours by the jobs that are there")]
)  # fmt: skip
def test_a_token_that_expires_under_a_view_leaves_what_is_shown_and_says_what_to_do(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    stays: str,
) -> None:
    expires, over = Event(), Event()
    answer = api_server.answer

    def until_it_expires(_: Request) -> Iterator[Any]:
        (over if expires.is_set() else expires).wait()
        yield from ()

    api_server.job("stays", phase="Running", message="trains")
    api_server.answers["WATCH", FTJ] = until_it_expires
    never_tries_by_itself(page)
    page.goto(f"{server.address}{path}")
    expect(page.get_by_text(stays).first).to_be_visible()

    monkeypatch.setattr(api_server, "answer", refused)
    expires.set()
    expect(page.get_by_role("alert")).to_contain_text("log in to it again. What you see is of")
    expect(page.get_by_text(stays).first).to_be_visible()
    api_server.job("stays", phase="Succeeded", message="trained")
    monkeypatch.setattr(api_server, "answer", answer)
    page.get_by_role("button", name="Try now").click()

    expect(page.get_by_role("alert")).to_be_empty()
    if path != "/usage":
        expect(page.get_by_text("Succeeded").first).to_be_visible()
    over.set()


def test_a_button_and_a_comparison_say_so_too_and_are_there_once_more_with_new_credentials(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("one", "two"):
        api_server.job(name, phase="Running")
    answer = api_server.answer

    never_tries_by_itself(page)
    page.goto(f"{server.address}/jobs/team-a/one")
    suspend = page.get_by_role("button", name="Suspend")
    expect(suspend).to_be_visible()
    monkeypatch.setattr(api_server, "answer", refused)
    suspend.click()
    expect(page.get_by_role("status")).to_contain_text("log in to it again")
    page.goto(f"{server.address}/compare?job=team-a/one&job=team-a/two")
    expect(page.locator(".card")).to_contain_text("log in to it again")
    monkeypatch.setattr(api_server, "answer", answer)
    page.get_by_role("button", name="Try now").click()

    expect(page.get_by_role("heading", name="Settings that differ")).to_be_visible()


def test_of_a_long_log_the_newest_lines_are_shown_and_earlier_ones_on_demand(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    over = Event()

    def log(request: Request) -> Iterator[bytes]:
        tail = int(request.query["tailLines"])
        yield "".join(f"line {number}\n" for number in range(2_000_000 - tail, 2_000_000)).encode()
        over.wait()

    api_server.job("stays", phase="Running", attempts=[{"number": 1, "pod": "stays-0"}])
    api_server.pod("stays-0", "Running", {"running": {}}, **{"finetune.dev/job-uid": "uid-stays"})
    api_server.answers["GET", LOG] = log
    page.goto(f"{server.address}/jobs/team-a/stays")
    page.get_by_text("Log", exact=True).click()
    lines = page.locator(".lines > div")
    expect(lines).to_have_count(1000)
    expect(lines.last).to_have_text("line 1999999")

    for count in (5000, 20000):
        page.get_by_role("button", name="Show earlier lines").click()
        expect(lines).to_have_count(count)

    expect(page.locator(".earlier")).to_contain_text("finetune logs stays")
    expect(lines.first).to_have_text("line 1980000")
    over.set()
