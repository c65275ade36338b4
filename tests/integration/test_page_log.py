"""Where a reader of a log is on the page in a real Chromium, whatever comes and however it is laid out. The cluster is in memory."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.integration.page_in_memory import Server, api_server, browser, in_chromium, kubeconfig, page, server  # noqa: F401
from tests.unit.finetune.api_server import FakeApi, Request

from devcluster.testing.api import wait_for
from finetune_trainer.metrics.by_class import ByClass

LOG = "/api/v1/namespaces/team-a/pods/long-0/log"
WRAPPED = "long " * 200
pytestmark = in_chromium


class Trainer:
    """A job whose log comes in parts, each when a test says so."""

    def __init__(self, api_server: FakeApi, *parts: list[str], **status: Any) -> None:  # noqa: F811
        self.said = [Event() for _ in parts]
        self.over = Event()
        self.parts = parts
        api_server.job("long", phase="Running", attempts=[{"number": 1, "pod": "long-0"}], **status)
        api_server.pod("long-0", "Running", {"running": {}}, **{"finetune.dev/job-uid": "uid-long"})
        api_server.answers["GET", LOG] = self._log

    def _log(self, _: Request) -> Iterator[bytes]:
        for said, lines in zip(self.said, self.parts, strict=True):
            said.wait()
            yield "".join(f"{line}\n" for line in lines).encode()
        self.over.wait()

    def says(self, part: int) -> None:
        self.said[part].set()

    def end(self) -> None:
        for each in (*self.said, self.over):
            each.set()


def last_line(page: Page) -> dict[str, Any]:  # noqa: F811
    """How high it is, and how much of it is below the edge of the log."""
    found: dict[str, Any] = page.evaluate(
        "() => { const last = document.querySelector('.lines').lastElementChild.getBoundingClientRect();"
        " return { height: last.height, below: last.bottom - document.querySelector('.log').getBoundingClientRect().bottom }; }"
    )
    return found


def first_line_in_sight(page: Page) -> dict[str, Any]:  # noqa: F811
    """Its text, its height, and how far its top is from that of the log."""
    found: dict[str, Any] = page.evaluate(
        "() => { const { top } = document.querySelector('.log').getBoundingClientRect();"
        " const line = [...document.querySelector('.lines').children].find((each) => each.getBoundingClientRect().bottom > top);"
        " const { height, top: at } = line.getBoundingClientRect();"
        " return { text: line.textContent, height, at: at - top }; }"
    )
    return found


def test_who_reads_the_end_of_a_log_stays_there_though_lines_come_out_of_sight_and_wrap_later(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    trainer = Trainer(api_server, [f"{number} {WRAPPED}" for number in range(100)], [f"later {WRAPPED}"])
    page.set_viewport_size({"width": 700, "height": 300})
    page.goto(f"{server.address}/jobs/team-a/long")
    page.get_by_text("Log", exact=True).click()
    page.evaluate("scrollTo(0, 0)")
    trainer.says(0)
    expect(page.locator(".lines > div")).to_have_count(100)

    page.locator(".log").scroll_into_view_if_needed()
    # A browser lays out a line once it is in sight.
    seen = wait_for(lambda: last_line(page), lambda line: line["height"] > 100, "the last line to wrap")
    trainer.says(1)
    expect(page.locator(".lines > div")).to_have_count(101)
    later = wait_for(lambda: last_line(page), lambda line: line["height"] > 100, "the later line to wrap")
    page.set_viewport_size({"width": 400, "height": 300})
    narrow = wait_for(
        lambda: last_line(page), lambda line: line["height"] > later["height"] * 1.5, "the lines of a narrower window"
    )

    assert [line["below"] <= 0 for line in (seen, later, narrow)] == [True] * 3
    trainer.end()


@pytest.mark.parametrize(("anchors", "text"), [(True, WRAPPED), (False, "short")])
def test_who_has_scrolled_up_stays_with_what_they_read(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
    anchors: bool,
    text: str,
) -> None:
    """In browsers that hold a reader's place by themselves, and in those that don't."""
    trainer = Trainer(api_server, *([f"{part}.{number} {text}" for number in range(200)] for part in range(2)))
    if not anchors:
        page.add_init_script("CSS.supports = (property) => property !== 'overflow-anchor'")
    page.goto(f"{server.address}/jobs/team-a/long")
    page.locator(".log").evaluate(
        "(log, value) => { log.style.overflowAnchor = value; }", "auto" if anchors else "none"
    )
    page.get_by_text("Log", exact=True).click()
    trainer.says(0)
    expect(page.locator(".lines > div")).to_have_count(200)
    page.locator(".log").scroll_into_view_if_needed()
    page.locator(".log").evaluate("log => { log.scrollTop -= 1000; }")
    reads = wait_for(
        lambda: first_line_in_sight(page), lambda line: line["height"] > 40 or text == "short", "the lines to wrap"
    )

    trainer.says(1)
    expect(page.locator(".lines > div")).to_have_count(400)

    now = first_line_in_sight(page)
    assert (now["text"], round(now["at"] - reads["at"])) == (reads["text"], 0)
    page.get_by_role("button", name="To the end").click()
    assert last_line(page)["below"] <= 0
    trainer.end()


def test_figures_of_each_class_are_one_click_away(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    figures = {name: [0.75, 0.5] for name in ("precision", "recall", "f1")}
    by_class = f"step 20: {ByClass(names=['neg', 'pos'], support=[20, 30], **figures).summary()}"
    preflight = {"trainRows": 8, "evaluationRows": 8, "classCount": 2, "steps": 20, "batchSize": 1}
    sizes = {"parameters": 1, "trainedParameters": 1}
    metrics = [{"name": "eval_f1", "value": "0.5"}]
    trainer = Trainer(api_server, ["step 10: loss 2", by_class], preflight=preflight | sizes, metrics=metrics)
    trainer.says(0)
    page.goto(f"{server.address}/jobs/team-a/long")

    page.get_by_role("button", name="f1 in the log").click()

    expect(page.locator(".lines > div:visible")).to_have_text([by_class])
    expect(page.locator(".logs")).to_contain_text("1 of 2 lines")
    trainer.end()
