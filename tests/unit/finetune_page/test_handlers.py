"""What the browser gets for what it asks, from a cluster that answers, refuses or has no such job."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from threading import Event
from typing import Any

import pytest
from tests.unit.finetune.api_server import FTJ, PODS, Break, FakeApi, Request, status
from tests.unit.finetune_page.conftest import Browser, Page

ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.fixture
def quiet(api_server: FakeApi) -> Iterator[None]:
    """Watches in which nothing happens."""
    over = Event()

    def wait(_: Request) -> Iterator[Any]:
        over.wait()
        yield from ()

    api_server.answers["WATCH", FTJ] = wait
    yield
    over.set()


async def first_items(browser: Browser, path: str, count: int = 1) -> list[dict[str, Any]]:
    """So many of the first items of a stream, and those that came with them."""
    found: list[dict[str, Any]] = []
    async with browser.get(path) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        while len(found) < count:
            text = (await response.content.readuntil(b"\r\n\r\n")).decode()
            found += json.loads(text.partition("data: ")[2].partition("\r\n")[0] or "[]")
    return found


@pytest.mark.usefixtures("quiet")
async def test_the_list_begins_with_every_job_and_says_when_it_is_whole(api_server: FakeApi, page: Page) -> None:
    api_server.job("one", phase="Running")
    api_server.job("two")

    async with page() as browser:
        items = await first_items(browser, "/api/jobs?namespace=team-a", 3)

    assert [(item.get("name"), item.get("phase")) for item in items] == [
        ("one", "Running"),
        ("two", "Pending"),
        (None, None),
    ]
    assert items[-1] == {"synced": True}


async def test_a_job_that_is_deleted_leaves_the_list(api_server: FakeApi, page: Page) -> None:
    gone, over = api_server.job("one"), Event()

    def delete(_: Request) -> Iterator[Any]:
        yield {"type": "DELETED", "object": gone}
        over.wait()

    api_server.answers["WATCH", FTJ] = delete

    async with page() as browser:
        items = await first_items(browser, "/api/jobs?namespace=team-a", 3)
        over.set()

    assert items[1:] == [{"synced": True}, {"gone": "uid-one"}]


@pytest.mark.usefixtures("quiet")
async def test_a_job_is_sent_whole(api_server: FakeApi, page: Page) -> None:
    api_server.job("one", {"task": "text-classification"}, phase="Running", message="training")

    async with page() as browser:
        job, *_ = await first_items(browser, "/api/jobs/team-a/one")

    assert (job["row"]["name"], job["message"], job["status"]["phase"]) == ("one", "training", "Running")
    assert "task: text-classification" in job["manifest"]


@pytest.mark.parametrize("part", ["", "/log"])
async def test_a_stream_of_a_job_that_is_not_there_says_so_within_the_stream(page: Page, part: str) -> None:
    async with page() as browser:
        response = await browser.get(f"/api/jobs/team-a/none{part}")
        text = await response.text()

    assert response.status == 200
    assert 'event: failure\r\ndata: {"code": 404, "message": ' in text
    assert text.endswith("event: end\r\ndata: {}\r\n\r\n")


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (status(403, "Forbidden", "finetunejobs is forbidden"), 403),
        (status(401, "Unauthorized", "expired"), 401),
        (status(404, "NotFound", "not found"), 404),
        (status(500, "InternalError", "no etcd"), 503),
    ],
)
async def test_a_refusal_of_the_cluster_is_told_in_its_words(
    api_server: FakeApi, page: Page, refusal: tuple[int, dict[str, Any]], code: int
) -> None:
    api_server.answers |= {("GET", f"{FTJ}/one"): lambda _: refusal, ("GET", FTJ): lambda _: refusal}

    async with page() as browser:
        response = await browser.get("/api/jobs/team-a/one/explanation")
        answer = await response.json()

    assert response.status == code
    assert refusal[1]["message"] in answer["message"]


async def test_buttons_are_those_that_the_user_has_the_right_to(api_server: FakeApi, page: Page) -> None:
    api_server.answers["POST", ACCESS_REVIEWS] = lambda request: (
        201,
        {"status": {"allowed": request.body["spec"]["resourceAttributes"]["verb"] == "patch"}},
    )

    async with page() as browser:
        rights = await (await browser.get("/api/jobs/team-a/one/rights")).json()

    assert rights == {"suspend": True, "resume": True, "rerun": True, "delete": False}


async def test_where_the_cluster_does_not_say_what_the_user_may_every_button_is_there(
    api_server: FakeApi, page: Page
) -> None:
    api_server.answers["POST", ACCESS_REVIEWS] = lambda _: status(500, "InternalError", "no etcd")

    async with page() as browser:
        rights = await (await browser.get("/api/jobs/team-a/one/rights")).json()

    assert rights == dict.fromkeys(("suspend", "resume", "rerun", "delete"), True)


@pytest.mark.parametrize(("action", "field", "value"), [("suspend", "suspend", True), ("resume", "suspend", False)])
async def test_a_button_changes_the_job(api_server: FakeApi, page: Page, action: str, field: str, value: bool) -> None:
    api_server.job("one")

    async with page() as browser:
        assert (await browser.post(f"/api/jobs/team-a/one/{action}?uid=uid-one")).status == 200
        assert (await browser.post("/api/jobs/team-a/one/refresh?uid=uid-one")).status == 404

    assert api_server.jobs["one"]["spec"][field] == value


async def test_delete_deletes_the_very_job_that_is_shown(api_server: FakeApi, page: Page) -> None:
    api_server.job("one")

    async with page() as browser:
        assert (await browser.post("/api/jobs/team-a/one/delete?uid=uid-one")).status == 200

    assert api_server.jobs == {}
    assert api_server.requests[-1].body["preconditions"] == {"uid": "uid-one"}


@pytest.mark.parametrize("action", ["suspend", "resume", "rerun", "delete"])
async def test_a_button_leaves_a_job_alone_that_was_made_anew_since_it_was_shown(
    api_server: FakeApi, page: Page, action: str
) -> None:
    api_server.job("one")
    api_server.made_anew("one")
    before = deepcopy(api_server.jobs["one"])

    async with page() as browser:
        answer = await browser.post(f"/api/jobs/team-a/one/{action}?uid=uid-one")
        message = (await answer.json())["message"]
        unnamed = await browser.post(f"/api/jobs/team-a/one/{action}")

    assert (answer.status, message) == (404, "one was deleted, and another made under its name")
    assert unnamed.status == 422
    assert api_server.jobs["one"] == before


async def test_events_that_are_not_for_the_user_are_a_notice(api_server: FakeApi, page: Page) -> None:
    api_server.job("one")
    api_server.answers["GET", "/api/v1/namespaces/team-a/events"] = lambda _: status(
        403, "Forbidden", "events is forbidden"
    )

    async with page() as browser:
        answer = await (await browser.get("/api/jobs/team-a/one/events")).json()

    assert answer == {"events": [], "notice": "events is forbidden"}


@pytest.mark.parametrize("query", ["", "job=team-a/one", "job=one&job=two", "&".join(["job=team-a/one"] * 9)])
async def test_what_cannot_be_compared_is_refused(page: Page, query: str) -> None:
    async with page() as browser:
        response = await browser.get(f"/api/comparison?{query}")
        assert response.status == 422
        assert await response.json() == {"message": "choose two to eight jobs, as namespace/name"}


async def test_jobs_of_one_name_in_two_namespaces_are_told_apart(api_server: FakeApi, page: Page) -> None:
    here = api_server.job("one", phase="Succeeded", metrics=[{"name": "eval_loss", "value": "nan"}])
    there = {**here, "metadata": {**here["metadata"], "namespace": "team-b"}}
    api_server.answers["GET", f"{FTJ}/one".replace("team-a", "team-b")] = lambda _: (200, there)

    async with page() as browser:
        response = await browser.get("/api/comparison?job=team-a/one&job=team-b/one")
        # As a browser reads it: NaN is no JSON.
        compared = json.loads(await response.text(), parse_constant=pytest.fail)

    assert [run["name"] for run in compared["runs"]] == ["team-a/one", "team-b/one"]
    assert compared["metrics"] == [{"name": "eval_loss", "values": [None, None], "best": []}]


async def test_the_plots_come_with_the_page(page: Page) -> None:
    async with page() as browser:
        for path in ("/", "/jobs/team-a/one", "/static/app.js", "/plots/uPlot.iife.js", "/plots/uPlot.min.css"):
            response = await browser.get(path)
            assert (response.status, response.headers["Cache-Control"]) == (200, "private, no-cache"), path


@pytest.mark.usefixtures("quiet")
async def test_a_stream_has_the_headers_of_every_answer(page: Page) -> None:
    async with page() as browser, browser.get("/api/jobs") as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_api_server_that_is_gone_is_told_in_the_stream_and_what_changed_once_it_is_back(
    api_server: FakeApi, page: Page
) -> None:
    is_down = False
    over = Event()

    def watch(_: Request) -> Iterator[Any]:
        nonlocal is_down
        if "one" in api_server.jobs:
            is_down = True
            raise Break
        over.wait()
        yield from ()

    def down_or(answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        return lambda request: status(503, "ServiceUnavailable", "no etcd") if is_down else answer(request)

    def listed(_: Request) -> Any:
        return 200, {"metadata": {"resourceVersion": "9"}, "items": [*api_server.jobs.values()]}

    api_server.job("one", phase="Running")
    api_server.answers |= {("GET", FTJ): down_or(listed), ("WATCH", FTJ): down_or(watch)}
    told: list[dict[str, Any]] = []

    async with page() as browser, browser.get("/api/jobs?namespace=team-a") as response:
        while {"gone": "uid-one"} not in told or told[-1] != {"synced": True}:
            text = (await response.content.readuntil(b"\r\n\r\n")).decode()
            told += json.loads(text.partition("data: ")[2].partition("\r\n")[0] or "[]")
            if "lost" in told[-1]:
                api_server.jobs.clear()
                is_down = False
        over.set()

    assert {"lost": "the API server cannot answer now (503): no etcd"} in told
    assert told[-2:] == [{"gone": "uid-one"}, {"synced": True}]


@pytest.mark.parametrize(
    ("asked", "tail"), [("", "1000"), ("?tail=5", "5"), ("?tail=99999", "20000"), ("?tail=x", "1000")]
)
async def test_of_the_log_the_newest_lines_come_first(api_server: FakeApi, page: Page, asked: str, tail: str) -> None:
    api_server.job("one", phase="Succeeded", attempts=[{"number": 1, "pod": "pod", "endTime": "2026-11-28T10:00:00Z"}])
    api_server.pod("pod", "Succeeded", {"terminated": {}}, **{"finetune.dev/job-uid": "uid-one"})
    tails = []

    def log(request: Request) -> Iterator[bytes]:
        tails.append(request.query["tailLines"])
        yield b"2026-11-28T10:00:00Z " + b"x" * 5000 + b"\n"

    api_server.answers["GET", f"{PODS}/pod/log"] = log

    async with page() as browser:
        (line,) = await first_items(browser, f"/api/jobs/team-a/one/log{asked}")

    assert tails == [tail]
    assert line == {"text": "x" * 4096 + " … and 904 characters more", "pod": "pod", "time": "2026-11-28T10:00:00Z"}


@pytest.mark.parametrize(
    ("answer", "names"),
    [((200, {"items": [{"metadata": {"name": "team-a"}}]}), ["team-a"]), (status(403, "Forbidden", "cannot"), [])],
)
async def test_namespaces_to_choose_from_are_those_that_the_user_may_list(
    api_server: FakeApi, page: Page, answer: Any, names: list[str]
) -> None:
    api_server.answers["GET", "/api/v1/namespaces"] = lambda _: answer

    async with page() as browser:
        assert await (await browser.get("/api/namespaces")).json() == {"namespaces": names}


PROFILE = {"metadata": {"name": "gpu"}, "spec": {"limits": {"gpuSecondsPerNamespace": 7200}}}


@pytest.mark.parametrize(
    ("answer", "budgets"),
    [
        ((200, {"items": [PROFILE, {"metadata": {"name": "free"}}]}), {"gpu": 7200, "free": None}),
        (status(403, "Forbidden", "cannot"), {}),
    ],
)
async def test_budgets_are_those_of_the_profiles_that_the_user_may_list(
    api_server: FakeApi, page: Page, answer: Any, budgets: dict[str, int | None]
) -> None:
    api_server.answers["GET", "/apis/finetune.dev/v1alpha1/finetuneprofiles"] = lambda _: answer

    async with page() as browser:
        assert await (await browser.get("/api/budgets")).json() == {"budgets": budgets}
