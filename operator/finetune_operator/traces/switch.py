"""Whether there are traces: OpenTelemetry's own variables say so, and its SDK is imported only then.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

import logging
import os
from collections.abc import Mapping
from typing import Final

from finetune_operator.traces.traces import Exporter

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

logger = logging.getLogger(__name__)


def is_on(environment: Mapping[str, str]) -> bool:
    """Whether the variables name a collector, and none of them switches traces off."""
    off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    other = environment.get("OTEL_TRACES_EXPORTER") not in (None, "", "otlp")
    return any(environment.get(name) for name in _ENDPOINTS) and not (off or other)


def start_exporter() -> Exporter | None:
    """The exporter to the collector that the variables name. None without one, or where it cannot be had, which is logged."""
    if not is_on(os.environ):
        return None
    try:
        from finetune_operator.traces.otlp import OtlpExporter

        return OtlpExporter()
    except ImportError as error:
        logger.error("no traces: %s; build the image with EXTRAS=traces", error)
    except Exception as error:  # noqa: BLE001 - whatever the variables hold, jobs go on
        logger.error("no traces: OpenTelemetry cannot use its variables: %s", error)
    return None
