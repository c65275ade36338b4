"""What the view of a job tells of it as time goes by, in a real Chromium. The cluster is in memory."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.integration.page_in_memory import Server, api_server, browser, in_chromium, kubeconfig, page, server  # noqa: F401
from tests.unit.finetune.api_server import FTJ, FakeApi, Request, status

from devcluster.testing.api import wait_for

pytestmark = in_chromium

FAILURE = {"reason": "ColumnNotFound", "message": "no column 'tag'", "hint": "Name a column that is there."}


@pytest.fixture
def clock(page: Page) -> str:  # noqa: F811
    """What a page that is opened from now on does every few seconds, as a script, and only then."""
    page.add_init_script("window.ticks = []; window.setInterval = (tick) => ticks.push(tick);")
    return "ticks.forEach((tick) => tick())"


def test_what_could_not_be_told_while_the_api_server_was_away_is_told_though_the_job_never_changes(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
    clock: str,
) -> None:
    job = api_server.job("fails", phase="Failed", failure=FAILURE)
    answers = iter([(200, job)])  # to the view itself
    down = status(503, "ServiceUnavailable", "no etcd")
    api_server.answers["GET", f"{FTJ}/fails"] = lambda _: next(answers, down)

    page.goto(f"{server.address}/jobs/team-a/fails")
    expect(page.locator(".card")).to_contain_text("the API server cannot answer now (503): no etcd")
    expect(page.locator("#events")).to_contain_text("the API server cannot answer now (503): no etcd")
    del api_server.answers["GET", f"{FTJ}/fails"]

    def later() -> str:
        page.evaluate(clock)
        return page.locator("main").inner_text()

    later_on = wait_for(later, lambda text: "no etcd" not in text, "an answer")
    assert "What to do: Name a column that is there." in later_on
    assert "None: Kubernetes forgets them after an hour." in later_on


def test_a_job_that_is_deleted_under_its_view_stays_gone(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
    clock: str,
) -> None:
    deleted, over = Event(), Event()
    job = api_server.job("goes", phase="Running")

    def changes(_: Request) -> Iterator[Any]:
        deleted.wait()
        yield {"type": "DELETED", "object": job}
        over.wait()

    api_server.answers["WATCH", FTJ] = changes
    page.goto(f"{server.address}/jobs/team-a/goes")
    expect(page.locator(".title")).to_contain_text("Running")

    del api_server.jobs["goes"]
    deleted.set()
    expect(page.locator(".jobhead")).to_contain_text("It is not there")
    page.evaluate(clock)

    expect(page.locator(".jobhead")).to_contain_text("goes was deleted")
    expect(page.locator(".title")).to_have_count(0)
    over.set()
