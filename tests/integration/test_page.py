"""The page in a real Chromium, against a cluster with a training that runs: what is on the screen."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kubernetes.client import CustomObjectsApi
from kubernetes.config import new_client_from_config
from playwright.sync_api import Browser, Page, Request, expect
from tests.integration.chromium import chromium, in_chromium, new_visitor
from tests.integration.fixtures import Space, finetunejob

from devcluster.testing.api import wait_for
from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION

MARKUP = "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script>"

pytestmark = in_chromium


@dataclass
class Screen:
    """A page of the browser, and all that it asked for or complained of."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def show(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page


@pytest.fixture(scope="module")
def address(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `finetune ui` prints."""
    log = tmp_path_factory.mktemp("page") / "page.log"
    command = [sys.executable, "-m", "finetune_cli", "ui", "--no-browser"]
    chosen = ["--kubeconfig", str(space.cluster.kubeconfig), "--namespace", space.namespace]
    with (
        log.open("w") as out,
        subprocess.Popen([*command, *chosen], stdout=out, stderr=subprocess.STDOUT) as server,
    ):
        try:
            yield wait_for(lambda: _address(log), bool, "the page's address")
        finally:
            server.terminate()


def _address(log: Path) -> str:
    found = re.search(r"http://127\S+", log.read_text())
    return found.group() if found else ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def screen(browser: Browser, address: str) -> Iterator[Screen]:
    with new_visitor(browser) as context:
        page = context.new_page()
        screen = Screen(page, address.partition("/?")[0])
        page.on("request", lambda request: screen.requests.append(_host(request)))
        page.on("console", lambda message: screen.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: screen.complaints.append(str(error)))
        page.goto(address)
        yield screen
        assert set(screen.requests) == {screen.address.removeprefix("http://")}
        assert screen.complaints == []


def _host(request: Request) -> str:
    return request.url.split("/")[2]


def write_status(space: Space, name: str, status: dict[str, object]) -> None:
    """As the operator would."""
    api = CustomObjectsApi(new_client_from_config(str(space.cluster.kubeconfig)))
    api.patch_namespaced_custom_object_status(GROUP, VERSION, space.namespace, PLURAL, name, {"status": status})


def fake(space: Space, name: str, status: dict[str, object]) -> None:
    """Make a job whose status stays as it is written here: another controller manages it."""
    space.apply(finetunejob(name, managedBy="example.com/nobody"))
    write_status(space, name, status)


def test_a_job_is_seen_from_its_submission_to_its_model_without_a_reload(space: Space, screen: Screen) -> None:
    page = screen.page
    space.apply(finetunejob("seen"))

    page.get_by_role("link", name="seen", exact=True).click()
    expect(page.locator(".title .phase")).to_have_text("✓ Succeeded")

    expect(page.locator(".plot canvas")).to_have_count(2)
    expect(page.locator("#evaluations tbody tr")).to_have_count(4)
    expect(page.locator("#attempts")).to_contain_text("0 → 64")
    page.get_by_text("Curves as a table").click()
    expect(page.get_by_role("rowheader", name="64", exact=True).first).to_be_visible()
    page.get_by_text("Log", exact=True).click()
    expect(page.locator(".log")).to_contain_text("step")
    page.get_by_text("Manifest", exact=True).click()
    expect(page.locator("#manifest pre")).to_contain_text("task: text-classification")


def test_a_failed_job_says_what_to_do_above_all_else(space: Space, screen: Screen) -> None:
    failure = {"reason": "ColumnNotFound", "message": "no column 'tag'", "hint": "Name a column that is there."}
    fake(space, "failed", {"phase": "Failed", "failure": failure})

    card = screen.show(f"/jobs/{space.namespace}/failed").locator(".card")

    expect(card.get_by_role("heading")).to_have_text("ColumnNotFound")
    expect(card).to_contain_text("no column 'tag'")
    expect(card).to_contain_text("What to do: Name a column that is there.")


def test_hostile_texts_are_text(space: Space, screen: Screen) -> None:
    failure = {"reason": "Hostile", "message": MARKUP, "hint": MARKUP}
    metric = {"name": MARKUP[:60], "value": "1"}
    status = {"phase": "Failed", "failure": failure, "evaluations": [{"step": 1, "metrics": [metric]}]}
    fake(space, "hostile", status)

    page = screen.page
    expect(page.locator(".rows .row", has_text="hostile").locator(".why")).to_contain_text("<img src=x")
    screen.show(f"/jobs/{space.namespace}/hostile")
    expect(page.locator(".card")).to_contain_text(MARKUP)
    expect(page.locator("#evaluations")).to_contain_text("<img src=x")
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "FineTune · hostile"


def test_the_keyboard_reaches_search_rows_and_a_job(space: Space, screen: Screen) -> None:
    fake(space, "found-by-keys", {"phase": "Queued", "message": "2nd in queue"})
    page = screen.page
    expect(page.locator(".rows .row", has_text="found-by-keys")).to_be_visible()

    page.keyboard.press("/")
    page.keyboard.type("by-keys")
    expect(page.locator(".rows .row")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_label("Search by name or reason")).to_have_value("by-keys")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("found-by-keys")
    assert "q=by-keys" not in page.url
    page.keyboard.press("Escape")
    expect(page.locator(".rows .row").first).to_be_visible()


def test_two_runs_are_compared_by_what_differs(space: Space, screen: Screen) -> None:
    for name, epochs, accuracy in (("compared-1", 1, "0.5"), ("compared-2", 2, "0.75")):
        space.apply(finetunejob(name, managedBy="example.com/nobody", training={"epochs": epochs}))
        write_status(space, name, {"phase": "Succeeded", "metrics": [{"name": "eval_accuracy", "value": accuracy}]})
    page = screen.page

    for name in ("compared-1", "compared-2"):
        page.get_by_label(f"Compare {name}").check()
    page.get_by_role("button", name="Compare").click()

    settings = page.get_by_role("table", name="Settings")
    expect(settings.locator("tbody tr")).to_have_count(1)
    expect(settings).to_contain_text("training.epochs")
    expect(page.locator("td.best")).to_have_text("0.75 ★")


def test_a_button_does_what_it_says(space: Space, screen: Screen) -> None:
    fake(space, "stopped-by-button", {"phase": "Running", "message": "training"})
    page = screen.show(f"/jobs/{space.namespace}/stopped-by-button")

    page.get_by_role("button", name="Suspend").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert space.get("ftj", "stopped-by-button")["spec"]["suspend"] is True

    page.get_by_role("button", name="Cancel").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert space.get("ftj", "stopped-by-button")["metadata"]["name"] == "stopped-by-button"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    wait_for(lambda: space.get("ftj", "stopped-by-button"), lambda found: found == {}, "the deletion")


def test_on_a_phone_nothing_is_wider_than_the_screen(space: Space, screen: Screen) -> None:
    long = "a-rather-long-name-of-a-job-as-people-have-them-in-a-team"
    fake(space, long, {"phase": "Failed", "failure": {"reason": "Long", "message": "x" * 1000}})
    page = screen.page
    page.set_viewport_size({"width": 360, "height": 740})

    for path in ("/", f"/jobs/{space.namespace}/{long}"):
        screen.show(path)
        expect(page.get_by_text(long).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_on_a_phone_attempts_and_checkpoints_are_read_without_moving_them_sideways(
    space: Space, screen: Screen
) -> None:
    saved = {
        "step": 48,
        "epoch": "2",
        "uri": "pvc://tickets-16ff9d87/checkpoints/step-000048",
        "sizeBytes": 2**28,
        "time": "2026-01-01T00:05:00Z",
        "metrics": [{"name": "eval_loss", "value": "0.7113"}, {"name": "eval_accuracy", "value": "0.9286"}],
    }
    ran = {
        "number": 1,
        "pod": "of-one-hand-with-a-long-name-xrl87",
        "node": "a-node-of-a-pool-with-a-long-name-1",
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T00:06:00Z",
        "reason": "Completed",
        "lastStep": 72,
        "log": "pvc://tickets-16ff9d87/logs/20260101T000000.908044Z-vm.log",
    }
    fake(space, "of-one-hand", {"phase": "Succeeded", "attempts": [ran], "checkpoints": [saved]})
    page = screen.page
    page.set_viewport_size({"width": 360, "height": 740})

    screen.show(f"/jobs/{space.namespace}/of-one-hand")
    cells = page.locator(".records td, .records tbody th")
    expect(cells.filter(has_text="step-000048")).to_be_visible()
    boxes = [cell.bounding_box() for cell in cells.all()]
    widest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.scroll')].map((each) => each.scrollWidth - each.clientWidth))"
    )
    heads = cells.evaluate_all("(all) => all.map((each) => each.dataset.head)")

    assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360 for box in boxes), boxes
    assert widest <= 0
    assert heads == [
        *("attempt", "pod", "node", "starting", "training", "steps", "lost", "end", "log"),
        *("step", "epoch", "size", "written", "metrics", "where"),
    ]
