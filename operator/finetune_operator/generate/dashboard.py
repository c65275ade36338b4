"""The Grafana dashboard, from one table of panels.

https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from dataclasses import dataclass
from typing import Any, Final

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_IN: Final = 'namespace=~"$namespace"'
_LEADING: Final = "* on (instance) group_left () finetune_leader"
"""Of processes that know the same jobs, the one that writes."""
_SELDOM: Final = "1h"
"""Jobs begin a few times a day where few people train: within a minute there is mostly nothing to see."""


@dataclass(frozen=True)
class Panel:
    """One panel: queries by the legend of their series."""

    title: str
    unit: str
    """Grafana's name of a unit."""
    queries: dict[str, str]
    kind: str = "timeseries"
    stacked: bool = False


_HEARD: Final = (
    "last_over_time(finetune_leader[10m] offset 1h) or "
    "(finetune_leader and on (job, instance) process_start_time_seconds > time() - 3600)"
)
"""The processes of which all that they counted in the last hour was heard: where Prometheus itself has just begun, there are none."""


def _counted(labels: str, counter: str) -> str:
    """How many there were in the last hour. The first one begins its series, of which `increase` knows nothing: all that a new series holds is new."""
    series = f"{counter}{{{_IN}}}"
    new = f"{series} unless last_over_time({series}[10m] offset 1h) and on (job, instance) ({_HEARD})"
    return f"sum by ({labels}) (({new}) or increase({series}[1h]))"


def _quantiles(metric: str, window: str = "$__rate_interval") -> dict[str, str]:
    rate = f"sum by (le) (rate({metric}_bucket[{window}]))"
    return {f"p{share}": f"histogram_quantile(0.{share}, {rate})" for share in (50, 90, 99)}


ROWS: Final[dict[str, list[Panel]]] = {
    "Jobs": [
        Panel(
            "Jobs by phase", "short", {"{{phase}}": f"sum by (phase) (finetune_jobs{{{_IN}}} {_LEADING})"}, stacked=True
        ),
        Panel(
            "Why jobs wait",
            "short",
            {"{{reason}}": f'sum by (reason) (finetune_jobs{{{_IN},phase=~"Pending|Queued|Preparing"}} {_LEADING})'},
            stacked=True,
        ),
        Panel(
            "Ends by reason",
            "short",
            {"{{phase}}: {{reason}}": _counted("phase, reason", "finetune_jobs_ended_total")},
            stacked=True,
        ),
        Panel(
            "Attempts to tell of an end, by outcome",
            "short",
            {"{{outcome}}": _counted("outcome", "finetune_notifications_total")},
            stacked=True,
        ),
        Panel(
            "Attempts that ended, by reason",
            "short",
            {"{{reason}}": _counted("reason", "finetune_attempts_ended_total")},
            stacked=True,
        ),
    ],
    "Waits": [
        Panel("From creation to the first pod", "s", _quantiles("finetune_job_queue_wait_seconds", _SELDOM)),
        Panel("From a pod's start to Running", "s", _quantiles("finetune_attempt_startup_seconds", _SELDOM)),
        Panel("From creation to the first step", "s", _quantiles("finetune_job_time_to_first_step_seconds", _SELDOM)),
    ],
    "Usage": [
        Panel(
            "GPUs that train, by namespace",
            "short",
            {"{{namespace}}": f"sum by (namespace) (rate(finetune_gpu_seconds_total{{{_IN}}}[$__rate_interval]))"},
            stacked=True,
        ),
        Panel(
            "Share of GPU-seconds that is lost to repeated steps and starts",
            "percentunit",
            {
                "{{namespace}}": f"sum by (namespace) (increase(finetune_gpu_seconds_lost_total{{{_IN}}}[1d])) / "
                f"sum by (namespace) (increase(finetune_gpu_seconds_total{{{_IN}}}[1d]))"
            },
        ),
    ],
    "Operator": [
        Panel("A pass for one job", "s", _quantiles("finetune_reconcile_seconds")),
        Panel("Jobs that wait for a pass", "short", {"{{class}}": f"sum by (class) (finetune_workqueue_depth {_LEADING})"}, stacked=True),
        Panel("How long the first of them waits", "s", {"{{class}}": f"max by (class) (finetune_workqueue_oldest_seconds {_LEADING})"}),
        Panel(
            "Requests to the API",
            "reqps",
            {
                "{{verb}} {{resource}}": "sum by (verb, resource) "
                '(rate(finetune_kube_requests_total{verb!="watch"}[$__rate_interval]))'
            },
            stacked=True,
        ),
        Panel(
            "Requests that failed",
            "reqps",
            {
                "{{code}} {{verb}} {{resource}}": "sum by (code, verb, resource) "
                '(rate(finetune_kube_requests_total{code!~"2.."}[$__rate_interval]))'
            },
        ),
        Panel("Waits for the limit on requests", "s", _quantiles("finetune_kube_throttle_seconds")),
        Panel(
            "Reports",
            "reqps",
            {"{{answer}}": "sum by (answer) (rate(finetune_reports_total[$__rate_interval]))"},
            stacked=True,
        ),
        Panel("Age of each watch", "s", {"{{resource}}": "max by (resource) (finetune_watch_age_seconds)"}),
        Panel("CPU", "percentunit", {"{{instance}}": "rate(process_cpu_seconds_total[$__rate_interval]) * on (instance) group_left () finetune_operator_info"}),
        Panel("Memory", "bytes", {"{{instance}}": "process_resident_memory_bytes * on (instance) group_left () finetune_operator_info"}),
    ],
}  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(_box({"type": "row", "title": title, "collapsed": False, "panels": []}, len(panels), 0, y, 24, 1))
        y += 1
        for number, panel in enumerate(row):
            panels.append(_box(_panel(panel), len(panels), 8 * (number % 3), y + 8 * (number // 3), 8, 8))
        y += 8 * ((len(row) + 2) // 3)
    return {
        "uid": "finetune-operator",
        "title": "FineTune Operator",
        "tags": ["finetune"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_DATASOURCE, _NAMESPACE]},
        "panels": panels,
    }


_DATASOURCE: Final = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
_NAMESPACE: Final = {
    "name": "namespace",
    "type": "query",
    "label": "Namespace",
    "datasource": _SOURCE,
    "query": "label_values(finetune_jobs, namespace)",
    "refresh": 2,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
}


def _box(panel: dict[str, Any], number: int, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"id": number + 1, **panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _panel(panel: Panel) -> dict[str, Any]:
    custom = {"fillOpacity": 20, "stacking": {"mode": "normal"}} if panel.stacked else {}
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for number, (legend, expression) in enumerate(panel.queries.items())
        ],
    }
