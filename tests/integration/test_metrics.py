"""What the operator tells Prometheus of jobs that are there, scraped by Prometheus itself where it is installed."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.fixtures import OperatorProcess, Space, finetunejob, free_port

from devcluster.cluster import Cluster
from devcluster.testing.api import PATIENCE, wait_for

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "finetune-operator"
PROMETHEUS = shutil.which("prometheus")


def metrics_address(operator: OperatorProcess) -> str:
    return f"127.0.0.1:{operator.environment['FINETUNE_OPERATOR_METRICS_PORT']}"


def scraped(operator: OperatorProcess) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in the order of their names."""
    with urllib.request.urlopen(f"http://{metrics_address(operator)}/metrics", timeout=PATIENCE) as response:
        text = response.read().decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def alone(finetune_crd: Cluster) -> Iterator[Space]:
    """A namespace without the jobs of other tests, which the operator may count a moment longer than they are there."""
    space = Space(finetune_crd, f"counted-{uuid.uuid4().hex[:8]}")
    space.create()
    yield space
    space.kubectl("delete", "namespace", space.namespace, "--wait=false")


def test_a_scrape_counts_jobs_by_phase_their_ends_and_the_requests_that_they_took(
    operator_process: OperatorProcess, alone: Space
) -> None:
    space = alone
    suspended = ("finetune_jobs", space.namespace, "Suspended", "Suspended")
    space.apply(finetunejob("counted", suspend=True))
    space.until("counted", lambda status: status.get("phase") == "Suspended", "its suspension")
    known = wait_for(
        lambda: scraped(operator_process).get(suspended, 0),
        lambda count: count > 0,
        "the suspended job to be counted",
    )
    refused = {"source": "pvc://nowhere/model"}
    space.apply(finetunejob("counted-end", model=refused, runPolicy={"preRunningDeadlineSeconds": 1}))
    space.end_of("counted-end")

    ended = wait_for(
        lambda: scraped(operator_process),
        lambda samples: samples.get(("finetune_jobs", space.namespace, "Failed", "PreRunningDeadlineExceeded")),
        "the end of the job",
    )
    space.kubectl("delete", "ftj", "counted", "counted-end")

    assert known == 1
    assert ended["finetune_jobs_ended_total", space.namespace, "Failed", "PreRunningDeadlineExceeded"] >= 1
    assert ended["finetune_kube_requests_total", "201", "jobs", "create"] >= 1
    assert ended["finetune_kube_requests_total", "200", "finetunejobs/status", "update"] >= 2
    assert ended["finetune_kube_requests_total", "200", "finetunejobs", "watch"] >= 1
    assert ended["finetune_leader",] == 1
    assert ("finetune_watch_age_seconds", "finetunejobs") in ended
    wait_for(
        lambda: scraped(operator_process).get(suspended, 0),
        lambda count: count == 0,
        "a deleted job to be counted no more",
    )


@pytest.fixture
def prometheus(operator_process: OperatorProcess, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes the operator each second, with the chart's alerts. Return its URL."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(CHART / "files" / "rules.yaml")],
        "scrape_configs": [
            {
                "job_name": "finetune",
                "honor_labels": True,
                "static_configs": [{"targets": [metrics_address(operator_process)]}],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(PROMETHEUS),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()


def filled_in(expression: str, namespace: str) -> str:
    """An expression of the dashboard with its variables as Grafana puts them in."""
    return expression.replace("$__rate_interval", "1m").replace("$namespace", namespace)


def ask(url: str, path: str, **query: str) -> Any:
    """An answer of Prometheus' HTTP API; None while it cannot be reached."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as response:  # noqa: S310
            return json.load(response)["data"]
    except OSError:
        return None


@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed; Debian has it in the package prometheus")
def test_prometheus_scrapes_the_operator_and_can_evaluate_each_alert_and_each_panel(
    prometheus: str, operator_process: OperatorProcess, space: Space
) -> None:
    space.apply(finetunejob("watched", suspend=True))
    space.until("watched", lambda status: status.get("phase") == "Suspended", "its suspension")
    query = f'finetune_jobs{{namespace="{space.namespace}",phase="Suspended"}}'
    found = wait_for(
        lambda: ask(prometheus, "query", query=query), lambda data: data and data["result"], "a scrape with the job"
    )
    board = json.loads((CHART / "files" / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    answers = wait_for(
        lambda: {each: ask(prometheus, "query", query=filled_in(each, space.namespace)) for each in expressions},
        lambda answers: sum(bool(answer and answer["result"]) for answer in answers.values()) > len(answers) / 2,
        "most panels to show something",
    )
    groups = wait_for(
        lambda: ask(prometheus, "rules"),
        lambda data: data and all(rule["lastEvaluation"] > "1" for rule in data["groups"][0]["rules"]),
        "an evaluation of the rules",
    )["groups"]
    space.kubectl("delete", "ftj", "watched")

    assert found["result"][0]["metric"]["reason"] == "Suspended"
    assert all(answer is not None for answer in answers.values()), answers
    assert {(rule["name"], rule["health"]) for rule in groups[0]["rules"]} == {
        (rule.get("alert") or rule["record"], "ok")
        for group in yaml.safe_load((CHART / "files" / "rules.yaml").read_text())["groups"]
        for rule in group["rules"]
    }
