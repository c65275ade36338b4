"""/metrics, on a port of its own: who scrapes needs neither the probes nor the report endpoint."""

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from finetune_operator.metrics.fleet import Fleet
from finetune_operator.reports.connections import Bounds
from finetune_operator.reports.serving import Server, serve

BOUNDS = Bounds(total=32, per_address=8)


async def serve_metrics(host: str, port: int, fleet: Fleet) -> Server:
    """Serve the instruments and `fleet` in Prometheus' text format, or in OpenMetrics' for who asks for it.

    Raises OSError if the address cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(fleet)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=encode(registry), headers={hdrs.CONTENT_TYPE: content_type})

    return await serve([web.get("/metrics", metrics)], host, port, BOUNDS)
