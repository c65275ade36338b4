"""What a change leaves as it was in the page's list, in a real Chromium. The cluster is in memory."""

from collections.abc import Iterator
from threading import Condition
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.integration.page_in_memory import Server, api_server, browser, in_chromium, kubeconfig, page, server  # noqa: F401
from tests.unit.finetune.api_server import FTJ, FakeApi, Request

pytestmark = in_chromium

FAILURE = {"reason": "ColumnNotFound", "message": "no column 'tag'", "hint": "Name 'tags'."}


class Watches:
    """Every watch is told what is put here, and whatever was before it began."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._over = False
        self._changed = Condition()

    def answer(self, _: Request) -> Iterator[Any]:
        at = 0
        while self._has(at):
            yield self._events[at]
            at += 1

    def _has(self, at: int) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._over or at < len(self._events))
            return not self._over

    def tell(self, *events: tuple[str, dict[str, Any]]) -> None:
        with self._changed:
            self._events += ({"type": kind, "object": job} for kind, job in events)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()


@pytest.fixture
def watches(api_server: FakeApi, server: Server) -> Iterator[Watches]:  # noqa: F811
    watches = Watches()
    api_server.answers["WATCH", FTJ] = watches.answer
    yield watches
    watches.end()


def running(api_server: FakeApi, name: str, percent: int) -> dict[str, Any]:  # noqa: F811
    return api_server.job(name, phase="Running", progress={"step": percent, "totalSteps": 100, "percent": percent})


@pytest.mark.parametrize("knows_moves", [True, False], ids=["moves", "no-moves"])
@pytest.mark.parametrize("focused", ["same", "fails"])
def test_a_row_keeps_focus_selection_and_tick_while_jobs_change_and_change_places(
    api_server: FakeApi,  # noqa: F811
    watches: Watches,
    page: Page,  # noqa: F811
    focused: str,
    knows_moves: bool,
) -> None:
    if not knows_moves:
        page.add_init_script("delete Element.prototype.moveBefore")
    for name in ("gone", "later", "same", "fails", "ticked"):
        running(api_server, name, 1)
    page.reload()
    names = page.locator(".rows .row .name")
    expect(names).to_have_text(["fails", "gone", "later", "same", "ticked"])
    page.get_by_label("Compare ticked").check()
    page.get_by_role("link", name=focused).focus()
    page.evaluate("getSelection().selectAllChildren([...document.querySelectorAll('.rows a')].at(-2))")

    watches.tell(
        ("DELETED", api_server.jobs.pop("gone")),
        ("ADDED", running(api_server, "brand-new", 0)),
        ("MODIFIED", running(api_server, "same", 2)),
        ("MODIFIED", api_server.job("fails", phase="Failed", failure=FAILURE)),
        ("MODIFIED", api_server.job("later", phase="Failed", failure=FAILURE)),
        ("MODIFIED", running(api_server, "ticked", 3)),
    )

    expect(names).to_have_text(["fails", "later", "brand-new", "same", "ticked"])
    expect(page.get_by_role("row", name="same")).to_contain_text("2 %")
    expect(page.get_by_role("row", name="ticked")).to_contain_text("3 %")
    expect(page.get_by_role("link", name=focused)).to_be_focused()
    expect(page.get_by_label("Compare ticked")).to_be_checked()
    expect(page.get_by_role("button", name="Compare 1")).to_be_visible()
    assert page.evaluate("String(getSelection())") == "same"
    expect(page.get_by_role("group", name="Filter by phase").get_by_role("button")).to_have_text(
        ["● Running 3", "✕ Failed 2"]
    )

    watches.tell(("MODIFIED", running(api_server, "fails", 4)))

    expect(names).to_have_text(["later", "brand-new", "fails", "same", "ticked"])
    expect(page.get_by_role("link", name=focused)).to_be_focused()
    page.get_by_role("button", name="✕ Failed 1").click()
    expect(names).to_have_text(["later"])


def test_a_change_writes_nothing_to_rows_that_have_none_and_moves_no_more_than_it_must(
    api_server: FakeApi,  # noqa: F811
    watches: Watches,
    page: Page,  # noqa: F811
) -> None:
    for number in range(40):
        running(api_server, f"job-{number:02}", 1)
    page.reload()
    names = page.locator(".rows .row .name")
    expect(names).to_have_count(40)
    page.evaluate(
        "() => { const name = (node) => (node.nodeType === 1 ? node : node.parentElement).closest('.row')?.querySelector('.name').textContent;"
        " window.written = new Set(); window.moved = new Set();"
        " new MutationObserver((all) => { for (const each of all) {"
        "   if (each.target.className === 'rows') [...each.addedNodes, ...each.removedNodes].forEach((row) => moved.add(name(row)));"
        "   else if (!(each.target.nodeType === 1 ? each.target : each.target.parentElement)?.closest('.age')) written.add(name(each.target)); } })"
        " .observe(document.querySelector('.rows'), { subtree: true, childList: true, characterData: true, attributes: true }); }"
    )

    watches.tell(
        ("MODIFIED", running(api_server, "job-07", 2)),
        ("MODIFIED", api_server.job("job-30", phase="Failed", failure=FAILURE)),
    )

    expect(names.first).to_have_text("job-30")
    expect(page.get_by_role("row", name="job-07")).to_contain_text("2 %")
    assert page.evaluate("[...moved]") == ["job-30"]
    assert sorted(page.evaluate("[...written]")) == ["job-07", "job-30"]


def test_any_order_becomes_any_other_and_what_stays_in_order_is_not_moved(page: Page) -> None:  # noqa: F811
    wrong = page.evaluate(
        """async () => {
          const { arrange } = await import("/static/dom.js");
          let seed = 1;
          const random = (most) => { seed = (seed * 48271) % 2147483647; return seed % most; };
          const elements = Array.from({ length: 12 }, (_, at) => { const made = document.createElement("p"); made.id = `p${at}`; return made; });
          const some = () => elements.map((each) => [random(1000), each]).sort(([one], [other]) => one - other).map(([, each]) => each).slice(0, random(13));
          const parent = document.createElement("div");
          document.body.append(parent);
          const ids = () => [...parent.children].map(({ id }) => id).join();
          const wrong = [];
          for (let round = 0; round < 300; round += 1) {
            const wanted = some();
            const before = ids();
            arrange(parent, wanted);
            if (ids() !== wanted.map(({ id }) => id).join()) wrong.push(`${before} to ${wanted.map(({ id }) => id)}: ${ids()}`);
            const watch = new MutationObserver(() => {});
            watch.observe(parent, { childList: true });
            const [first, ...others] = parent.children;
            if (first) arrange(parent, [...others, first]);
            const touched = new Set(watch.takeRecords().flatMap((each) => [...each.addedNodes, ...each.removedNodes])).size;
            if (touched !== (others.length ? 1 : 0)) wrong.push(`${touched} moved for one`);
          }
          parent.remove();
          return wrong;
        }"""
    )

    assert wrong == []
