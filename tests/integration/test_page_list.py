"""What of many jobs the page's list shows, in a real Chromium. The cluster is in memory."""

import pytest
from playwright.sync_api import Page, expect
from tests.integration.page_in_memory import Server, api_server, browser, in_chromium, kubeconfig, page, server  # noqa: F401
from tests.unit.finetune.api_server import FakeApi

pytestmark = in_chromium


def test_bounds_of_progress_and_gpu_hours_are_searched_for_and_stand_in_the_address(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    for name, percent, hours in (("small", 10, 1), ("half", 49, 20), ("late", 90, 30)):
        usage = {"gpuSeconds": {"total": hours * 3600}, "until": "2026-11-28T10:00:00Z"}
        api_server.job(name, phase="Running", progress={"step": percent, "percent": percent}, usage=usage)
    page.reload()
    names = page.locator(".rows .row .name")
    expect(names).to_have_count(3)

    page.get_by_label("Search by name or reason").fill("gpu>10 progress<50")

    expect(names).to_have_text(["half"])
    page.goto(page.url)
    expect(names).to_have_text(["half"])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ["one", "two", "none"]),
        ("COLUMN tag", ["one"]),
        ("team-a/t", ["two"]),
        ("progress<50", ["one", "none"]),
        ("progress>50%", ["two"]),
        ("gpu>1.5h", ["two"]),
        ("gpu<", ["one", "two", "none"]),
        ("gpu>.", ["one", "two", "none"]),
        ("gpu > 1.5", ["two"]),
        ("gpu >", ["one", "two", "none"]),
        ("progress >= 67 two", ["two"]),
        ("gpu<=0", ["none"]),
        ("progress<=18", ["one", "none"]),
        ("gpu<1.2.3", []),
        ("(", []),
    ],
)
def test_words_and_bounds_hold_together(page: Page, words: str, found: list[str]) -> None:  # noqa: F811
    jobs = [
        {"name": "one", "why": "no Column 'tag'", "percent": 18, "gpuSeconds": 360},
        {"name": "two", "why": "–", "percent": 67, "gpuSeconds": 7200},
        {"name": "none", "why": "–", "percent": None, "gpuSeconds": 0},
    ]

    names = page.evaluate(
        "async ([words, jobs]) => { const { matcher } = await import('/static/search.js');"
        " return jobs.map((job) => ({ namespace: 'team-a', ...job })).filter(matcher(words)).map((job) => job.name); }",
        [words, jobs],
    )

    assert names == found


def test_a_job_that_has_just_begun_has_its_time_left_apart_from_its_progress_and_a_stroke_as_its_curve(
    api_server: FakeApi,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    curves = {"training": {"steps": "1", "series": [{"name": "loss", "values": "2"}]}}
    progress = {"step": 1, "percent": 1, "etaSeconds": 1200}
    api_server.job("begun", {"resources": {"gpus": 1}}, phase="Running", progress=progress, curves=curves)
    page.reload()

    expect(page.locator(".rows .row .progress")).to_have_text("1 % · 20m")
    expect(page.locator(".rows .row .loss svg")).to_have_attribute("aria-label", "Loss 2")
    page.get_by_role("link", name="Usage").click()
    expect(page.get_by_role("heading", name="Hold GPUs now")).to_have_text("Hold GPUs now 1 GPU")
