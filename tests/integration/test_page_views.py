"""What the page makes of statuses that no test cluster has: the fullest one, thousands of jobs. In a real Chromium; the cluster is in memory."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.integration.page_in_memory import Server, api_server, browser, in_chromium, kubeconfig, page, server  # noqa: F401
from tests.unit.finetune.api_server import FakeApi

from finetune.summary import SHAPES
from finetune_api.status import FineTuneJobStatus
from finetune_api.values import format_time
from finetune_cli.display.words import duration

pytestmark = in_chromium
DIGEST = "sha256:" + "3f" * 32
FULL: dict[str, Any] = {
    "observedGeneration": 3,
    "phase": "Failed",
    "message": "epoch 2.0 of 3",
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "CudaOutOfMemory",
            "message": "what the condition says",
            "lastTransitionTime": "2026-11-28T10:00:00Z",
        }
    ],
    "waiting": {"reason": "QuotaExceeded", "since": "2026-11-28T09:00:00Z", "position": 3},
    "startTime": "2026-11-28T09:00:00Z",
    "completionTime": "2026-11-28T11:00:00Z",
    "progress": {"step": 800, "totalSteps": 1200, "epoch": "2.0", "percent": 67, "samplesPerSecond": "84.1"},
    "metrics": [{"name": "eval_accuracy", "value": "0.571"}],
    "evaluations": [{"step": 600, "epoch": "1.5", "metrics": [{"name": "eval_accuracy", "value": "0.581"}]}],
    "curves": {"training": {"steps": "10 20", "series": [{"name": "loss", "values": "2.5 nan"}]}},
    "checkpoints": [
        {
            "step": 600,
            "epoch": "1.5",
            "uri": "s3://models/stars/step-600",
            "sizeBytes": 1299000000,
            "digest": DIGEST,
            "metrics": [{"name": "eval_accuracy", "value": "0.581"}],
            "time": "2026-11-28T10:00:00Z",
        }
    ],
    "latestCheckpoint": {"step": 600, "uri": "s3://models/stars/step-600"},
    "bestCheckpoint": {
        "step": 400,
        "uri": "s3://models/stars/step-400",
        "metric": "eval_accuracy",
        "value": "0.59",
    },
    "model": {"uri": "s3://models/stars/model", "digest": DIGEST, "sizeBytes": 433000000},
    "adjustments": [{"step": 401, "reason": "CudaOutOfMemory", "message": "the batch became smaller"}],
    "warnings": [{"reason": "EmptyTexts", "message": "3 rows are empty"}],
    "preflight": {
        "trainRows": 650000,
        "evaluationRows": 50000,
        "classCount": 2,
        "classes": [{"name": "good", "rows": 1234}],
        "lengths": {"median": 134, "p95": 411, "longest": 512, "limit": 512, "atLimit": "0.25"},
        "sampledRows": 10000,
        "steps": 1200,
        "batchSize": 16,
        "parameters": 1000000,
        "trainedParameters": 250000,
        "device": "a device",
        "memory": {"weights": 1024, "gradients": 2048, "optimizer": 4096, "activations": 8192, "total": 15360},
        "outputBytes": 1048576,
    },
    "attempts": [
        {
            "number": 1,
            "pod": "stars-0-one",
            "node": "node-3",
            "startTime": "2026-11-28T09:10:00Z",
            "trainingStartTime": "2026-11-28T09:20:00Z",
            "endTime": "2026-11-28T10:00:00Z",
            "podSeconds": 3000,
            "exitCode": 143,
            "reason": "Preempted",
            "resumedFromStep": 0,
            "lastStep": 460,
            "log": "s3://models/stars/one.log",
        },
        {"number": 2, "pod": "stars-0-two", "resumedFromStep": 400},
    ],
    "run": {"number": 2, "token": "second", "output": "s3://models/stars/run-2"},
    "previousRuns": [
        {"number": 1, "phase": "Failed", "reason": "NoRows", "message": "none", "output": "s3://models/stars/run-1"}
    ],
    "profile": {
        "name": "gpu-standard",
        "generation": 4,
        "digest": DIGEST,
        "settings": json.dumps({"tolerations": [{"key": "gpu"}], "images": ["registry/a", "registry/b"]}),
    },
    "provenance": {
        "modelRevision": "86b5e0934494bd15",
        "image": "registry/trainer",
        "versions": {"torch": "2.13.0"},
        "seed": 42,
    },
    "usage": {
        "gpuSeconds": {"total": 7200, "useful": 3600, "lost": 3600},
        "podSeconds": 7200,
        "preflightSeconds": 31,
        "queuedSeconds": 840,
        "startupSeconds": 120,
        "month": {"month": "2026-11", "gpuSeconds": 7200},
        "cost": {"amount": "3.12", "currency": "EUR"},
        "until": "2026-11-28T11:00:00Z",
    },
    "failure": {
        "reason": "CudaOutOfMemory",
        "message": "not enough for one row",
        "hint": "Train an adapter.",
        "exitCode": 75,
        "logTail": "the line before\nthe last line",
    },
    "tracking": [{"tracker": "mlflow", "url": "https://mlflow.example/run", "message": "12 points wait"}],
    "notifications": [{"target": "team", "state": "GivenUp", "attempts": 7, "message": "404 Not Found"}],
}
ON_THE_SCREEN = """
CudaOutOfMemory | not enough for one row | Train an adapter. | the line before | what the condition says | 67 % | 800 of 1,200 | 84.1
best accuracy | 0.59 | 0.571 | 0.581 | 600 | 1.21 GiB | s3://models/stars/step-600 | s3://models/stars/step-400 | the batch became smaller
3 rows are empty | 650,000 | 50,000 | good (1,234) | median 134 | 25 % reach | 10,000 rows | 250,000 of them trained | a device | weights 1 KiB
stars-0-one | node-3 | 10m | 40m | 0 → 460 | 60 steps | Preempted, exit code 143 | s3://models/stars/one.log | NoRows: none | s3://models/stars/run-1
gpu-standard | settings.tolerations[0].key | registry/a, registry/b | 86b5e0934494bd15 | versions.torch | 2.13.0 | s3://models/stars/model
waiting.reason | QuotaExceeded | run.token | second | s3://models/stars/run-2 | 2.0, of which 1.0 were lost | 3.12 EUR | 14m | 31s | 2m
team | no, given up | 404 Not Found
"""


def test_every_field_of_a_status_is_on_the_screen_and_nothing_is_an_object(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    missing = {field.alias for field in FineTuneJobStatus.model_fields.values()} - FULL.keys()
    assert missing == set()
    api_server.job("stars", {"task": "text-classification"}, **FULL)
    page.goto(f"{server.address}/jobs/team-a/stars")
    expect(page.locator(".card")).to_be_visible()
    for summary in page.locator("main summary:visible").all():
        summary.click()

    text = " ".join(page.locator("main").inner_text().split())

    told = [each.strip() for line in ON_THE_SCREEN.splitlines() for each in line.split("|") if each.strip()]
    assert [each for each in told if each not in text] == []
    assert [each for each in ("[object", "undefined", "NaN", "null") if each in text] == []


def test_shapes_and_durations_are_those_of_the_command_line(page: Page) -> None:  # noqa: F811
    seconds = [0, 1, 59, 60, 61, 599, 600, 3599, 3600, 3660, 35_999, 36_000, 86_399, 86_400, 90_000, 864_000, 950_400]

    shapes, durations = page.evaluate(
        "async seconds => { const { SHAPES, duration } = await import('/static/format.js');"
        " return [SHAPES, seconds.map(duration)]; }",
        seconds,
    )

    assert shapes == SHAPES
    assert durations == [duration(timedelta(seconds=each)) for each in seconds]


def test_a_run_has_the_colour_of_its_name_in_every_comparison_and_no_two_are_alike(page: Page) -> None:  # noqa: F811
    names = [f"sweep-{number}" for number in range(8)]

    alone, reversed_, all_of_them = page.evaluate(
        "async names => { const { coloursOf } = await import('/static/curves.js');"
        " return [coloursOf(names.slice(0, 1)), coloursOf(names.slice(0, 2).reverse()), coloursOf(names)]; }",
        names,
    )

    assert (reversed_[1], all_of_them[0]) == (alone[0], alone[0])
    assert len(set(all_of_them)) == 8


@pytest.mark.parametrize(
    ("url", "links"),
    [
        ("https://mlflow.example/#/run/1", 1),
        ("javascript:document.title='taken over'", 0),
        ("s3://models/tensorboard", 0),
    ],
)
def test_of_what_a_training_names_a_page_alone_is_a_link(page: Page, url: str, links: int) -> None:  # noqa: F811
    tracking = [{"tracker": "mlflow", "url": url, "message": "12 points wait"}]

    page.evaluate(
        "async tracking => { const { elsewhere } = await import('/static/parts.js');"
        " const place = document.createElement('aside'); place.append(...elsewhere({ tracking })); document.body.append(place); }",
        tracking,
    )

    expect(page.get_by_role("row", name="mlflow")).to_contain_text(f"{url}12 points wait")
    expect(page.locator("aside a")).to_have_count(links)


def test_checkpoints_stand_in_the_time_line_where_they_were_saved(page: Page) -> None:  # noqa: F811
    hours = [f"2026-11-28T{hour}:00:00Z" for hour in range(10, 15)]
    attempt = {"number": 1, "startTime": hours[0], "trainingStartTime": hours[1], "endTime": hours[4], "lastStep": 90}
    checkpoints = [{"step": 30, "time": hours[2]}, {"step": 60, "time": hours[3]}]
    # One of a run of before, whose output is the same.
    status = {"attempts": [attempt], "checkpoints": [{"step": 10, "time": "2026-11-27T00:00:00Z"}, *checkpoints]}

    label, saved = page.evaluate(
        "async status => { const { attempts } = await import('/static/parts.js');"
        " const bar = attempts(status).flat().map((part) => part.querySelector('.timeline')).find(Boolean);"
        " return [bar.getAttribute('aria-label'), [...bar.querySelectorAll('.saved')].map((tick) => [tick.style.left, tick.title])]; }",
        status,
    )

    assert label == "starting 25 %, training 75 %, 2 checkpoints saved"
    assert saved == [
        [f"{at}%", f"checkpoint of step {step}, {time}"]
        for at, step, time in zip((50, 75), (30, 60), hours[2:], strict=False)
    ]


def test_ages_go_by_the_clock_of_the_server(api_server: FakeApi, page: Page) -> None:  # noqa: F811
    created = datetime.now(UTC) - timedelta(days=3, hours=1, minutes=30)
    api_server.job("stars", phase="Running")["metadata"]["creationTimestamp"] = format_time(created)
    page.add_init_script("const real = Date.now; Date.now = () => real() + 864e6;")

    page.reload()

    expect(page.locator(".rows .row .age")).to_have_text("3d1h")


def test_an_address_shows_the_same_to_whoever_gets_it_and_the_last_namespace_is_where_one_begins(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    api_server.job("stars", phase="Running")
    expect(page).to_have_url(f"{server.address}/?namespace=team-a")

    page.get_by_label("Namespace, * for all").fill("*")
    page.get_by_label("Namespace, * for all").press("Enter")
    expect(page.get_by_role("link", name="team-a/stars")).to_be_visible()
    page.get_by_label("Search by name or reason").fill("star")
    expect(page).to_have_url(f"{server.address}/?namespace=*&q=star")

    page.goto(f"{server.address}/")
    expect(page.get_by_role("link", name="team-a/stars")).to_be_visible()


@pytest.mark.parametrize(("present", "told"), [(7200, "2.5 of 2.0 GPU-hours"), (None, "2.5 of 1.0 GPU-hours")])
def test_usage_says_what_is_used_of_what_is_allowed_who_holds_gpus_and_what_waits(
    api_server: FakeApi,  # noqa: F811
    page: Page,  # noqa: F811
    server: Server,  # noqa: F811
    present: int | None,
    told: str,
) -> None:
    month = {"month": f"{datetime.now(UTC):%Y-%m}", "gpuSeconds": 1800}
    usage = {"gpuSeconds": {"total": 1800}, "until": format_time(datetime.now(UTC)), "month": month}
    budget = {"profile": "gpu", "allowedGpuSeconds": 3600, "usedGpuSeconds": 9000}
    waiting = {"reason": "BudgetUsedUp", "since": format_time(datetime.now(UTC)), "budget": budget}
    api_server.job("holds", {"resources": {"gpus": 2, "nodes": 2}}, phase="Running", usage=usage)
    api_server.job("held", {"resources": {"gpus": 8}}, phase="Queued", message="the month is used up", waiting=waiting)
    api_server.job("on-cpus", {"resources": {"gpus": 0}}, phase="Running")
    if present:
        gives = {"metadata": {"name": "gpu"}, "spec": {"limits": {"gpuSecondsPerNamespace": present}}}
        api_server.answers["GET", "/apis/finetune.dev/v1alpha1/finetuneprofiles"] = lambda _: (200, {"items": [gives]})

    page.goto(f"{server.address}/usage")

    expect(page.locator(".total")).to_have_text(f"{told} that FineTuneProfile gpu gives the namespace  used up")
    holds, waits = (page.get_by_role("table", name=name) for name in ("Hold GPUs now", "Wait for GPUs"))
    expect(holds.locator("tbody tr")).to_have_text(["holds● Running4"])
    expect(waits.locator("tbody tr")).to_have_text(["held○ Queued8the month is used up"])
    expect(page.get_by_role("table", name="GPU-hours by job").locator("tbody tr")).to_have_count(3)
    page.goto(f"{server.address}/")
    expect(page.locator("a.usage")).to_have_text(f"2.5 GPU-h this month of {told.split()[2]}")


def test_the_budget_is_that_by_which_the_next_job_is_taken_and_of_one_namespace(
    api_server: FakeApi,  # noqa: F811
    page: Page,  # noqa: F811
    server: Server,  # noqa: F811
) -> None:
    month = {"month": f"{datetime.now(UTC):%Y-%m}", "gpuSeconds": 36000}
    usage = {"gpuSeconds": {"total": 36000}, "until": format_time(datetime.now(UTC)), "month": month}
    small, big = (
        {"name": name, "digest": DIGEST, "settings": json.dumps({"limits": {"gpuSecondsPerNamespace": seconds}})}
        for name, seconds in (("small", 3600), ("big", 360_000))
    )
    old = api_server.job("old", phase="Succeeded", usage=usage, profile=small)
    old["metadata"]["creationTimestamp"] = "2026-11-01T10:00:00Z"
    api_server.job("new", phase="Running", profile=big)

    page.goto(f"{server.address}/usage")

    expect(page.locator(".total")).to_have_text("10.0 of 100.0 GPU-hours that FineTuneProfile big gives the namespace ")
    page.goto(f"{server.address}/usage?namespace=*")
    expect(page.locator(".total")).to_have_text("10.0 GPU-hours by the jobs that are there")


def test_of_thousands_of_jobs_a_page_is_drawn_and_each_is_found(
    api_server: FakeApi,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    for number in range(3000):
        api_server.job(f"job-{number:04}", phase="Running" if number else "Failed")
    page.reload()
    rows = page.locator(".rows .row")
    expect(rows).to_have_count(500)
    expect(rows.first).to_contain_text("job-0000")
    expect(page.locator(".counts")).to_contain_text("Running 2,999")

    page.get_by_role("button", name="Show 500 more of 2,500").click()
    expect(rows).to_have_count(1000)
    page.get_by_label("Search by name or reason").fill("job-2999")

    expect(rows).to_have_count(1)


@pytest.mark.parametrize("size", [(1280, 800), (768, 900), (360, 740)])
def test_the_longest_names_and_words_fit_on_every_screen(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
    size: tuple[int, int],
) -> None:
    names = ["a" * 63, ".".join(["b" * 63] * 3) + "." + "c" * 61]
    for name in names:
        api_server.job(name, {"task": "text-classification"}, **{**FULL, "message": "W" * 1000})
    page.set_viewport_size({"width": size[0], "height": size[1]})

    for path in ("/", f"/jobs/team-a/{names[1]}", f"/compare?job=team-a/{names[0]}&job=team-a/{names[1]}", "/usage"):
        page.goto(f"{server.address}{path}")
        expect(page.get_by_text(names[1]).first).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], path


def test_who_may_not_list_is_told_what_to_do(api_server: FakeApi, page: Page) -> None:  # noqa: F811
    message = 'finetunejobs.finetune.dev is forbidden: User "u" cannot list resource "finetunejobs"'
    forbidden = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": message}
    path = "/apis/finetune.dev/v1alpha1/namespaces/team-a/finetunejobs"
    api_server.answers["GET", path] = lambda _: (403, forbidden)

    page.reload()

    expect(page.locator(".card")).to_contain_text("You may not list jobs in namespace team-a")
    expect(page.locator(".card")).to_contain_text(message)
    expect(page.locator(".card")).to_contain_text("What to do: type a namespace of yours above")
    page.get_by_role("link", name="Usage").click()
    expect(page.locator(".card")).to_contain_text("for the right to list finetunejobs, by which usage is counted")


def test_who_may_get_and_not_list_opens_a_job_by_its_name(api_server: FakeApi, page: Page) -> None:  # noqa: F811
    api_server.job("stars", phase="Running", message="it trains")
    api_server.rights = {("get", "finetunejobs")}
    page.reload()
    name = page.get_by_label("A job that you may get")
    name.fill("sta")
    # The list is asked for again, as by itself.
    with page.expect_event("requestfinished", lambda request: "/api/jobs" in request.url):
        page.get_by_role("button", name="Try now").click()
    expect(name).to_have_value("sta")

    name.fill(" stars ")
    name.press("Enter")

    expect(page.get_by_role("heading", name="stars")).to_be_visible()
    expect(page.get_by_text("it trains")).to_be_visible()


def test_who_may_not_get_a_job_is_told_which_right_to_ask_for(
    api_server: FakeApi,  # noqa: F811
    server: Server,  # noqa: F811
    page: Page,  # noqa: F811
) -> None:
    api_server.job("stars", phase="Running")
    api_server.rights = set()

    page.goto(f"{server.address}/jobs/team-a/stars")

    expect(page.locator(".card")).to_contain_text('cannot get resource "finetunejobs"')
    expect(page.locator(".card")).to_contain_text(
        "What to do: ask the administrator of namespace team-a for the right to get finetunejobs, or to list them."
    )
