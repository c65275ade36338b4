"""How the page looks and how fast it is, in a real Chromium: text that can be read in light and dark, and 500 jobs. The cluster is in memory."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, expect
from tests.integration.page_in_memory import Server, api_server, browser, in_chromium, kubeconfig, page, server  # noqa: F401
from tests.unit.finetune.api_server import FTJ, FakeApi, Request

from finetune.summary import SHAPES

pytestmark = in_chromium

STEPS = range(1, 129)


def curves_of(run: int) -> dict[str, Any]:
    """A history that differs from run to run."""
    values = " ".join(f"{(1 + run * (step % 7) / 100) / step:.4g}" for step in STEPS)
    return {"training": {"steps": " ".join(map(str, STEPS)), "series": [{"name": "loss", "values": values}]}}


# WCAG 2.2, 1.4.3: 4.5 to 1, and 3 to 1 for what is large. A canvas turns every way to write a colour into numbers.
TOO_FAINT = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { rgb: [r, g, b], alpha: a / 255 };
  };
  const over = (top, below) => top.rgb.map((each, at) => each * top.alpha + below[at] * (1 - top.alpha));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(colour(getComputedStyle(at).backgroundColor));
    const canvasColour = colour(matchMedia("(prefers-color-scheme: dark)").matches ? "black" : "white").rgb;
    return layers.reduce((below, layer) => over(layer, below), canvasColour);
  };
  const light = (rgb) => rgb.map((each) => each / 255).map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
    if (!text || !element.checkVisibility() || element.closest(":disabled, [aria-hidden='true'], option, datalist")) continue;
    const style = getComputedStyle(element);
    const below = behind(element);
    const [one, other] = [light(over(colour(style.color), below)), light(below)];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${element.tagName}.${element.className}: ${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}
"""


AT_REST = "new Promise((done) => requestIdleCallback(() => requestIdleCallback(done)))"
WATCH_ROW = """
(step) => {
  const row = [...document.querySelectorAll(".rows .row")].find((each) => each.querySelector(".name").textContent === "job-049");
  window.shown = new Promise((done) => new MutationObserver((_, observer) => {
    if (!row.textContent.includes(` ${step} %`)) return;
    observer.disconnect();
    done();
  }).observe(row, { subtree: true, childList: true, characterData: true }));
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
    scheme: Any,
) -> None:
    failure = {
        "reason": "ColumnNotFound",
        "message": "no column 'tag'",
        "hint": "Name 'tags'.",
        "logTail": "the last line",
    }
    shown: dict[str, Any] = {"curves": curves_of(0), "progress": {"step": 3, "percent": 50, "etaSeconds": 60}}
    for phase in SHAPES:
        told = {"failure": failure} if phase == "Failed" else {"message": f"it is {phase}"}
        api_server.job(phase.lower(), phase=phase, **shown, **told)
    page.emulate_media(color_scheme=scheme)

    for path, seen in (
        ("/", "failed"),
        ("/jobs/team-a/failed", "What to do"),
        ("/jobs/team-a/running", "Curves"),
        ("/jobs/team-a/queued", "What to do"),
        ("/compare?job=team-a/failed&job=team-a/running", "Settings that differ"),
        ("/usage", "GPU-hours by the jobs"),
        ("/jobs/team-a/nothing", "It is not there"),
    ):
        page.goto(f"{server.address}{path}")
        expect(page.get_by_text(seen).first).to_be_visible()
        assert page.evaluate(TOO_FAINT) == [], path


@pytest.mark.bench
def test_500_jobs_are_painted_and_a_change_of_fifty_is_shown_at_once(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    fifty, order, over = Event(), Event(), Event()

    def job(number: int, step: int, phase: str = "Running") -> dict[str, Any]:
        progress = {"step": step, "totalSteps": 100, "percent": step}
        return api_server.job(f"job-{number:03}", phase=phase, progress=progress, curves=curves_of(step))

    def many_change(_: Request) -> Iterator[Any]:
        fifty.wait()
        yield from ({"type": "MODIFIED", "object": job(number, 2)} for number in range(50))
        order.wait()
        # Five have failed and go to the top; the row that is looked at is the last to change.
        yield from ({"type": "MODIFIED", "object": job(number, 3, "Failed")} for number in range(400, 405))
        yield from ({"type": "MODIFIED", "object": job(number, 3)} for number in range(5, 50))
        over.wait()

    for number in range(500):
        job(number, 1)
    api_server.answers["WATCH", FTJ] = many_change
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(f"{server.address}/")
    expect(page.locator(".rows .row")).to_have_count(500)
    painted = page.evaluate("performance.getEntriesByName('first-paint')[0].startTime")
    page.evaluate(AT_REST)

    taken = [main_thread_milliseconds(devtools, page, change, step) for change, step in ((fifty, 2), (order, 3))]

    over.set()
    print(
        f"\n500 jobs: first paint after {painted:.0f} ms (goal 1000); of the main thread (goal 100) a change of 50 takes"
        f" {taken[0]:.0f} ms, and {taken[1]:.0f} ms where five of them change places"
    )


def main_thread_milliseconds(devtools: CDPSession, page: Page, change: Event, step: int) -> float:  # noqa: F811
    """What the page takes of its processor, whatever else the machine does, to show a change.

    The page tells by itself when it is there: Playwright, which asks again and again, would take more than the page does.
    """
    page.evaluate(WATCH_ROW, step)
    page.evaluate(AT_REST)
    before = task_seconds(devtools)
    change.set()
    page.evaluate(f"window.shown.then(() => {AT_REST})")
    return 1000 * (task_seconds(devtools) - before)


def task_seconds(devtools: CDPSession) -> float:
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))
