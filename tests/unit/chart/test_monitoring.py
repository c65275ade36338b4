"""What the chart gives to Prometheus and Grafana: each expression is PromQL, about series and labels that /metrics has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from tests.unit.chart.values import CHART, Json, Render

from finetune_operator.metrics import instruments
from finetune_operator.metrics.fleet import Fleet

RULES = CHART / "files" / "rules.yaml"
PROMTOOL = shutil.which("promtool")


def rules() -> list[Json]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[Json]:
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> dict[str, set[str]]:
    """The series that rules make, and the labels by which they do."""
    made = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    return {name: set(re.split(r",\s*", re.findall(r" by \((.*?)\)", expr)[0])) for name, expr in made.items()}


def panels() -> list[Json]:
    return [
        panel for panel in json.loads((CHART / "files" / "dashboard.json").read_text())["panels"] if "targets" in panel
    ]


EXPRESSIONS = {
    **{f"rule {rule.get('alert') or rule['record']}": rule["expr"] for rule in rules()},
    **{
        f"panel {panel['title']} {target['refId']}": target["expr"]
        .replace("$__rate_interval", "5m")
        .replace("$namespace", "team-a")
        for panel in panels()
        for target in panel["targets"]
    },
}


def selectors(node: Any) -> Iterator[Any]:
    """Each selector of series in an expression, as the parser has it."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        if hasattr(node, name):
            yield from selectors(getattr(node, name))
    if isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from selectors(argument)


def series() -> dict[str, set[str]]:
    """The labels of every series, each instrument having been used once."""
    instruments.JOBS_ENDED.labels("team-a", "Failed", "RowFails").inc(0)
    instruments.ATTEMPTS_ENDED.labels("team-a", "RowFails").inc(0)
    instruments.REPORTS.labels("taken").inc(0)
    instruments.NOTIFICATIONS.labels("team-a", "delivered").inc(0)
    instruments.CONTESTED.labels("team-a").inc(0)
    instruments.UNEXPECTED_ERRORS.labels("pass").inc(0)
    instruments.KUBE_REQUESTS.labels("get", "jobs", "200").inc(0)
    instruments.GPU_SECONDS.labels("team-a").inc(0)
    instruments.GPU_SECONDS_LOST.labels("team-a").inc(0)
    fleet = Fleet(
        jobs=lambda: {("team-a", "Running Training"): 1},
        watches=lambda: {"jobs": 1.0},
        queue=lambda: {"changes": (1, 0.5)},
    )
    return {sample.name: set(sample.labels) for family in fleet.collect() for sample in family.samples}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_an_expression_selects_series_that_there_are_by_labels_that_they_have(expression: str) -> None:
    known = {**series(), **recorded()}

    found = list(selectors(promql_parser.parse(expression)))

    assert found
    for each in found:
        assert each.name in known
        assert {matcher.name for matcher in each.matchers.matchers} <= known[each.name]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_has_a_severity_and_a_place_in_the_docs(rule: Json) -> None:
    page = (CHART.parents[1] / "docs" / "how-to" / "monitor.md").read_text()

    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert f"`{rule['alert']}`" in page


def test_nothing_of_a_monitoring_stack_is_needed_by_default(render: Render) -> None:
    kinds = {name.partition("/")[0] for name in render()}

    assert "Service/ft-finetune-operator-metrics" in render()
    assert not kinds & {"ServiceMonitor", "PrometheusRule"}
    assert "ConfigMap/ft-finetune-operator-dashboard" not in render()


def test_monitor_rules_and_dashboard_bear_the_labels_by_which_they_are_found(render: Render) -> None:
    labels = {"release": "prometheus"}
    enabled = {"enabled": True, "labels": labels}

    objects = render(metrics={"port": 9000, "serviceMonitor": enabled, "rules": enabled, "dashboard": enabled})

    service = objects["Service/ft-finetune-operator-metrics"]
    monitor = objects["ServiceMonitor/ft-finetune-operator"]
    rules = objects["PrometheusRule/ft-finetune-operator"]
    board = objects["ConfigMap/ft-finetune-operator-dashboard"]
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 9000, "targetPort": "metrics", "protocol": "TCP"}]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert rules["spec"] == yaml.safe_load(RULES.read_text())
    assert json.loads(board["data"]["finetune-operator.json"])["uid"] == "finetune-operator"
    for each in (monitor, rules, board):
        assert labels.items() <= each["metadata"]["labels"].items()


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed; Debian has it in the package prometheus")
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    cases = (Path(__file__).parent / "alerts.yaml").read_text()
    (tmp_path / "cases.yaml").write_text(cases.replace("RULES", str(RULES)))

    checked = subprocess.run([str(PROMTOOL), "check", "rules", RULES], capture_output=True, text=True, check=False)
    tested = subprocess.run(
        [str(PROMTOOL), "test", "rules", tmp_path / "cases.yaml"], capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert set(re.findall(r"alertname: (\w+)", cases)) == {rule["alert"] for rule in alerts()}
