"""Traces are switched on by OpenTelemetry's own variables, and cost nothing where they are not."""

import os
import subprocess
import sys

import pytest

from finetune_operator.traces.switch import is_on, start_exporter

COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        (COLLECTOR, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({**COLLECTOR, "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**COLLECTOR, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**COLLECTOR, "OTEL_SDK_DISABLED": "true"}, False),
        ({**COLLECTOR, "OTEL_SDK_DISABLED": "false"}, True),
    ],
)
def test_a_collector_s_address_switches_them_on_and_the_variables_for_it_off(
    environment: dict[str, str], on: bool
) -> None:
    assert is_on(environment) is on


PROGRAM = """
import os, sys
sys.modules["kubernetes_validate"] = None  # as `python -m finetune_operator` does
import finetune_operator.app as app
for endpoint in ("", "http://127.0.0.1:9"):
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    print(app.start_exporter() is not None, any(name.split(".")[0] == "opentelemetry" for name in sys.modules))
"""
"""Starts what the operator starts, without a collector and with one. Prints whether there is an exporter, and OpenTelemetry in memory."""


@pytest.mark.slow
def test_nothing_of_opentelemetry_is_imported_where_they_are_off() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}

    said = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)

    assert said.stdout.splitlines() == ["False False", "True True"]


def test_an_image_without_the_extra_says_so_and_the_operator_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "finetune_operator.traces.otlp", raising=False)

    assert start_exporter() is None
    assert "EXTRAS=traces" in caplog.text


def test_variables_that_the_sdk_cannot_use_are_named_and_the_operator_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999")

    assert start_exporter() is None
    assert "batch_size" in caplog.text
