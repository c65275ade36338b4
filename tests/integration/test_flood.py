"""Hostile objects and reports of one tenant beside another one who means well: the operator goes on, and that one's job ends.

FLOOD_OBJECTS and FLOOD_REPORTS in the environment say how many; `tests/unit/finetune_operator/reports/test_hostile_traffic.py` reads more.
"""

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from tests.integration.fixtures import OperatorProcess, Space, finetunejob
from tests.integration.hostile_objects import hostile_objects
from tests.integration.test_reports import NOWHERE, Reporting
from tests.unit.finetune_operator.hostile import bodies

from devcluster.testing.api import MERGE, TABLE, Api, wait_for
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import report_path

OBJECTS, REPORTS = (int(os.environ.get(f"FLOOD_{what}", usual)) for what, usual in (("OBJECTS", 300), ("REPORTS", 600)))
AT_ONCE = 4
REPORTS_A_TOKEN = 500
MAX_RSS = 400 * 1024**2
MAX_LOG_BYTES = 4_000_000
PATH = "/apis/finetune.dev/v1alpha1/namespaces/{}/finetunejobs"


@pytest.fixture
def hostile(space: Space) -> Iterator[Space]:
    """The namespace of who means harm. A quota gives it a few Jobs, as one does where many share a cluster."""
    made = Space(space.cluster, f"hostile-{uuid.uuid4().hex[:8]}")
    made.create()
    quota = {"hard": {"count/jobs.batch": "6"}}
    made.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": quota})
    yield made
    api = Api(made.cluster.kubeconfig)
    for raw in _all(api, made):
        if "finalizers" in raw["metadata"]:
            patch = {"metadata": {"finalizers": None}}
            api("PATCH", f"{PATH.format(made.namespace)}/{raw['metadata']['name']}", patch, MERGE)
    made.kubectl("delete", "namespace", made.namespace, "--wait=false")


def _all(api: Api, space: Space) -> list[dict[str, Any]]:
    """The FineTuneJobs of a namespace, a page at a time: they are large."""
    found: list[dict[str, Any]] = []
    following = ""
    while True:
        answer = api("GET", f"{PATH.format(space.namespace)}?limit=200&continue={following}").body
        found += answer["items"]
        following = answer["metadata"].get("continue", "")
        if not following:
            return found


def _flood_with_objects(space: Space, victim: dict[str, Any]) -> Counter[int]:
    """Create hostile objects until so many are taken. Return how many had which answer."""
    answers: Counter[int] = Counter()
    objects = hostile_objects(1, victim)
    api = Api(space.cluster.kubeconfig)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while answers[201] < OBJECTS:
            some = list(islice(objects, 100))
            answers.update(pool.map(lambda raw: api("POST", PATH.format(space.namespace), raw).code, some))
            assert sum(answers.values()) < 20 * OBJECTS, answers
    return answers


def _flood_with_reports(reporting: Reporting, job: str) -> Counter[int]:
    """Send reports as the job's own pod may, as fast as they are taken."""
    url = reporting.root + report_path(Key(reporting.space.namespace, job))
    answers: Counter[int] = Counter()
    with requests.Session() as session:
        session.headers["Connection"] = "close"
        for number, body in enumerate(bodies(seed=1, count=REPORTS)):
            if number % REPORTS_A_TOKEN == 0:  # a token lives for ten minutes, and a busy machine is slow
                session.headers["Authorization"] = f"Bearer {reporting.token(reporting.pod_of(job))}"
            try:
                answers[session.post(url, data=body, timeout=30, verify=str(reporting.ca)).status_code] += 1
            except requests.RequestException:
                answers[0] += 1  # Refused before all of it was read, as too early ones are.
    return answers


@pytest.mark.slow
def test_a_flood_of_hostile_objects_and_reports_stops_nobody_and_crashes_nothing(
    space: Space, hostile: Space, operator_process: OperatorProcess, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.crt"
    root = f"https://127.0.0.1:{operator_process.environment['FINETUNE_OPERATOR_REPORTS_PORT']}"
    reporting = Reporting(hostile, root, ca)
    hostile.apply(finetunejob("reporter", pod=NOWHERE))
    wait_for(lambda: reporting.pod_of("reporter"), bool, "a pod of the reporter")
    ca.write_text(hostile.get("configmap", "finetune-operator-ca")["data"]["ca.crt"])
    space.apply(finetunejob("victim", suspend=True, pod=NOWHERE))
    victim = space.get("ftj", "victim")
    log_before = operator_process.log.stat().st_size
    assert operator_process.process is not None
    process = operator_process.process.pid

    with ThreadPoolExecutor(2) as pool:
        floods = (
            pool.submit(_flood_with_objects, hostile, victim),
            pool.submit(_flood_with_reports, reporting, "reporter"),
        )
        space.apply(finetunejob("beside-the-flood"))
        well = space.end_of("beside-the-flood")
        objects, reports = (flood.result() for flood in floods)
    space.apply(finetunejob("after-the-flood"))
    after = space.end_of("after-the-flood")
    rss = psutil.Process(process).memory_info().rss
    api = Api(hostile.cluster.kubeconfig)
    # Each is looked at, in its turn, but for those of another controller and those that are being deleted.
    passed_over = {raw["metadata"]["name"] for raw in _all(api, hostile) if _is_passed_over(raw)}
    wait_for(lambda: _without_phase(api, hostile) - passed_over, lambda names: not names, "a word about each object")
    statuses = {raw["metadata"]["name"]: raw["status"] for raw in _all(api, hostile) if not _is_passed_over(raw)}
    reporter = statuses["reporter"]
    untouched = space.status("victim")
    text = operator_process.log.read_bytes()[log_before:].decode()
    space.kubectl("delete", "ftj", "victim", "beside-the-flood", "after-the-flood")
    print(
        objects,
        reports,
        f"{rss / 2**20:.0f} MiB",
        f"{len(text)} bytes of log",
        Counter(status["phase"] for status in statuses.values()),
    )

    assert (well["phase"], after["phase"]) == ("Succeeded", "Succeeded")
    assert set(objects) <= {201, 400, 403, 422}
    assert set(reports) <= {0, 200, 400, 413, 429}
    assert reports[200] > 0
    assert operator_process.process.poll() is None
    assert operator_process.get("/healthz")[0] == 200
    assert rss < MAX_RSS
    assert len(text) < MAX_LOG_BYTES
    assert "Traceback" not in text
    assert all(line.isprintable() for line in text.splitlines())
    assert [name for name, status in statuses.items() if status["phase"] == "Succeeded"] == []
    shown = json.dumps(list(statuses.values()), ensure_ascii=False)
    assert [each for each in shown if not each.isprintable()] == []
    assert max(len(json.dumps(status)) for status in statuses.values()) < 24 * 1024
    assert "attacker" not in json.dumps([reporter.get(name) for name in ("model", "checkpoints", "latestCheckpoint")])
    assert untouched["phase"] == "Suspended"


def _is_passed_over(raw: dict[str, Any]) -> bool:
    return bool(raw["spec"].get("managedBy")) or "deletionTimestamp" in raw["metadata"]


def _without_phase(api: Api, space: Space) -> set[str]:
    """Names of the jobs whose status says nothing yet, as kubectl asks for them: without the objects."""
    table = api("GET", f"{PATH.format(space.namespace)}?includeObject=None", accept=TABLE).body
    name, phase = ([each["name"] for each in table["columnDefinitions"]].index(column) for column in ("Name", "Phase"))
    return {row["cells"][name] for row in table["rows"] if not row["cells"][phase]}
