"""Prometheus gets what it asks for, in the format that it asks for."""

from itertools import pairwise

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from finetune_operator.metrics.fleet import Fleet
from finetune_operator.metrics_server import serve_metrics


@pytest.mark.parametrize(
    ("accept", "parse", "content_type"),
    [
        ("", plain, "text/plain"),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", openmetrics, "application/openmetrics-text"),
        ("application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", plain, "text/plain"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3",
            openmetrics,
            "application/openmetrics-text",
        ),
        ("application/openmetrics-text;version=x", openmetrics, "application/openmetrics-text"),
        ("text/plain;version=9.9.9.9;escaping=values", plain, "text/plain"),
        (";,;", plain, "text/plain"),
    ],
)
async def test_a_scrape_holds_the_jobs_and_every_instrument_in_the_format_that_was_asked_for(
    accept: str, parse: object, content_type: str
) -> None:
    server = await serve_metrics(
        "127.0.0.1", 0, Fleet(jobs=lambda: {("team-a", "Running Training"): 7}, watches=lambda: {"jobs": 1.0})
    )
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/metrics", headers={"Accept": accept}) as response,
    ):
        text = await response.text()
    await server.close()

    families = {family.name: family for family in parse(text)}  # type: ignore[operator]
    assert response.headers["Content-Type"].startswith(content_type)
    assert families["finetune_jobs"].samples[0].value == 7
    assert {"finetune_kube_requests", "finetune_reconcile_seconds", "finetune_operator_info"} <= families.keys()


async def test_what_takes_long_to_write_is_written_for_a_tenth_of_the_time_however_often_it_is_asked_for() -> None:
    now, written = [100.0], []

    def count() -> dict[tuple[str, str], int]:
        written.append(now[0])
        now[0] += 2.0  # as with thousands of namespaces on a slow node
        return {}

    formats = ("text/plain", "application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=7")
    server = await serve_metrics("127.0.0.1", 0, Fleet(jobs=count, watches=dict), clock=lambda: now[0])
    async with aiohttp.ClientSession() as session:
        for _ in range(20):
            for accept in formats:
                async with session.get(
                    f"http://127.0.0.1:{server.port}/metrics", headers={"Accept": accept}
                ) as response:
                    assert response.status == 200
            now[0] += 1.0
    await server.close()

    assert 1 < len(written) <= 4
    assert all(after - before >= 2.0 for before, after in pairwise(written))
