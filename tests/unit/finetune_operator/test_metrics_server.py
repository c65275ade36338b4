"""Prometheus gets what it asks for, in the format that it asks for."""

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
