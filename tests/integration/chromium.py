"""Debian's Chromium, driven with the patience of the suite: Playwright's own limits are for a machine that does nothing else."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from devcluster.testing.api import PATIENCE

_CHROMIUM = shutil.which("chromium")
_MILLISECONDS = PATIENCE * 1000

needs_chromium = pytest.mark.skipif(_CHROMIUM is None, reason="there is no Chromium (Debian: apt install chromium)")
in_chromium = [pytest.mark.slow, needs_chromium]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser."""
    expect.set_options(timeout=_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"], timeout=_MILLISECONDS)
        yield browser
        browser.close()


@contextmanager
def new_visitor(browser: Browser) -> Iterator[BrowserContext]:
    """Give a context that knows nothing of any page of before."""
    with browser.new_context() as context:
        context.set_default_timeout(_MILLISECONDS)
        yield context


def never_tries_by_itself(page: Page) -> None:
    """Let what is opened from now on ask again only once a reader says so, and leave what it tells where it is."""
    page.add_init_script(
        "const set = setTimeout; window.setTimeout = (act, ms, ...rest) => (ms < 2000 ? set(act, ms, ...rest) : 0);"
    )
