"""Two operators at once: one of them works, whatever happens to it the other goes on, and no status ever goes backwards.

Pods report to both, and to whom they like: the test stands in for them, since a trainer of each would only take time.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import kubernetes
import pytest
import requests
import urllib3
import yaml
from tests.integration.cable import Cable
from tests.integration.fixtures import OperatorProcess, Space, finetunejob, free_port
from tests.integration.release import Release

from devcluster.cluster import Cluster
from devcluster.testing.api import MERGE, PATIENCE, Api, eventually, wait_for
from finetune_api.report import AUDIENCE
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import report_path

TAKE_OVER_SECONDS = 15.0
AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", "30"))
NOWHERE = {"nodeSelector": {"example.com/nowhere": "here"}}
PREFIX = "FINETUNE_OPERATOR_"


@dataclass
class Operator:
    """One of the two, and its way to the API server."""

    process: OperatorProcess
    cable: Cable

    @property
    def name(self) -> str:
        return self.process.environment[f"{PREFIX}POD_NAME"]

    @property
    def reports(self) -> str:
        return f"https://127.0.0.1:{self.process.environment[f'{PREFIX}REPORTS_PORT']}"

    def signal(self, number: signal.Signals) -> None:
        assert self.process.process is not None
        self.process.process.send_signal(number)


@dataclass
class Pair:
    """Both of them, and the Lease that they share."""

    operators: list[Operator]
    home: Space
    lease: str

    def holder(self) -> str:
        spec = self.home.get("lease", self.lease).get("spec", {})
        return str(spec.get("holderIdentity") or "").rpartition("_")[0]

    def leader(self) -> Operator:
        """The one that leads; waits until one does."""
        name = wait_for(self.holder, bool, "a leader")
        return next(each for each in self.operators if each.name == name)

    def other(self, operator: Operator) -> Operator:
        return next(each for each in self.operators if each is not operator)

    def taken_over_by(self, operator: Operator) -> float:
        """Seconds until this one leads."""
        begun = time.monotonic()
        eventually(lambda: self.holder() == operator.name, f"{operator.name} to lead")
        return time.monotonic() - begun


@dataclass
class Fleet:
    """Pods that report ever higher steps to both operators, and every status that their jobs ever had."""

    space: Space
    operators: list[Operator]
    tokens: dict[str, str] = field(default_factory=dict)
    pods: dict[str, str] = field(default_factory=dict)
    step: int = 0
    taken: dict[str, int] = field(default_factory=dict)
    seen: dict[str, list[int]] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def make(self, name: str) -> None:
        """A job whose pod runs, as far as anybody can tell."""
        self.space.apply(finetunejob(name, pod=NOWHERE))
        pod = wait_for(lambda: self._pod_of(name), bool, f"a pod of {name}")
        api = Api(self.space.cluster.kubeconfig)
        status = {"phase": "Running", "podIP": "10.9.9.9", "startTime": "2026-01-01T00:00:00Z"}
        path = f"/api/v1/namespaces/{self.space.namespace}/pods/{pod}/status"
        assert api("PATCH", path, {"status": status}, MERGE).code == 200
        self.tokens[name], self.pods[name] = token(self.space, pod), pod

    def _pod_of(self, job: str) -> str:
        pods: list[dict[str, Any]] = self.space.list("pods", f"finetune.dev/job-name={job}")
        return str(pods[0]["metadata"]["name"]) if pods else ""

    def report(self) -> None:
        """Report until it is over: each time one step more, to the one first and then to the other."""
        while not self.over.wait(0.2):
            self.step += 1
            for job, held in list(self.tokens.items()):
                progress = {"step": self.step, "totalSteps": 100_000, "percent": 0}
                body = {"report": {"sequence": self.step, "stage": "Training", "progress": progress}}
                for operator in self.operators:
                    self._post(operator, job, held, body)

    def _post(self, operator: Operator, job: str, held: str, body: dict[str, Any]) -> None:
        url = operator.reports + report_path(Key(self.space.namespace, job))
        headers = {"Authorization": f"Bearer {held}"}
        try:
            answer = requests.post(url, json=body, headers=headers, verify=False, timeout=0.3)  # noqa: S501
        except requests.RequestException:
            return
        if answer.status_code == 200:
            self.taken[operator.name] = self.taken.get(operator.name, 0) + 1

    def look(self) -> None:
        """Note each status until it is over."""
        api = Api(self.space.cluster.kubeconfig)
        path = f"/apis/finetune.dev/v1alpha1/namespaces/{self.space.namespace}/finetunejobs"
        version = api("GET", path).object()["metadata"]["resourceVersion"]
        while not self.over.is_set():
            for kind, raw in api.watch(path, f"resourceVersion={version}", seconds=5):
                assert kind != "ERROR", raw
                version = raw["metadata"]["resourceVersion"]
                if kind in ("ADDED", "MODIFIED"):
                    step = (raw.get("status") or {}).get("progress", {}).get("step", 0)
                    self.seen.setdefault(raw["metadata"]["name"], []).append(step)

    def progresses(self) -> None:
        """Wait until the status of each job has a step that is reported from now on."""
        now = self.step
        for name in self.tokens:
            self.space.until(name, lambda status: status.get("progress", {}).get("step", 0) > now, f"step {now}")

    @contextmanager
    def at_work(self) -> Iterator["Fleet"]:
        threads = [threading.Thread(target=run) for run in (self.report, self.look)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.over.set()
            for thread in threads:
                thread.join()


def token(space: Space, pod: str) -> str:
    """A token bound to a pod, as a kubelet asks for it."""
    spec = {
        "audiences": [AUDIENCE],
        "expirationSeconds": 3600,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod},
    }
    with kubernetes.config.new_client_from_config(str(space.cluster.kubeconfig)) as client:
        answer = kubernetes.client.CoreV1Api(client).create_namespaced_service_account_token(
            "default", space.namespace, {"spec": spec}, _headers={"Content-Type": "application/json"}
        )
        return str(answer.status.token)


@pytest.fixture(scope="module")
def pair(
    operator_process: OperatorProcess, release: Release, finetune_crd: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Two operators in place of the session's, with the rights of its release."""
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    operator_process.end()
    with ExitStack() as stack:
        operators = []
        for name in ("one", "two"):
            folder = tmp_path_factory.mktemp(name)
            cable = stack.enter_context(Cable(finetune_crd.url).laid())
            config = yaml.safe_load(release.kubeconfig.read_text())
            for cluster in config["clusters"]:
                cluster["cluster"]["server"] = cable.url
            (folder / "kubeconfig").write_text(yaml.safe_dump(config))
            environment = {
                **operator_process.environment,
                "KUBECONFIG": str(folder / "kubeconfig"),
                f"{PREFIX}POD_NAME": name,
                f"{PREFIX}HEALTH_PORT": str(free_port()),
                f"{PREFIX}REPORTS_PORT": str(free_port()),
                f"{PREFIX}METRICS_PORT": str(free_port()),
            }
            operators.append(Operator(OperatorProcess(environment, folder / "operator.log"), cable))
        try:
            for each in operators:
                each.process.start()
            yield Pair(operators, release.home, release.settings[f"{PREFIX}SECRET_NAME"])
        finally:
            for each in operators:
                each.cable.mend()
                each.signal(signal.SIGCONT)
                each.process.end()
                print(each.process.log.read_text())
    operator_process.start()


@pytest.mark.chaos
def test_whatever_happens_to_two_operators_one_of_them_works_and_no_status_goes_backwards(
    pair: Pair, space: Space
) -> None:
    fleet = Fleet(space, pair.operators)
    fleet.make("both-0")
    with fleet.at_work():
        leader = pair.leader()
        fleet.progresses()
        ready = [each.process.get("/readyz") for each in pair.operators]
        taken = dict(fleet.taken)

        leader.signal(signal.SIGSTOP)
        second = pair.other(leader)
        times = {"stopped": pair.taken_over_by(second)}
        fleet.make("both-1")
        leader.signal(signal.SIGCONT)
        fleet.progresses()

        second.cable.cut()
        times["cut off"] = pair.taken_over_by(leader)
        fleet.make("both-2")
        second.cable.mend()
        fleet.progresses()

        ended = leader.process.end()
        times["ended"] = pair.taken_over_by(second)
        fleet.progresses()
        leader.process.start()
        fleet.progresses()

    jobs = [each["metadata"]["name"] for each in space.list("jobs") if each["metadata"]["name"].startswith("both-")]
    backwards = {name: steps for name, steps in fleet.seen.items() if steps != sorted(steps)}
    assert (ready, list(taken), ended) == ([(200, "ok\n")] * 2, [leader.name], 0)
    assert backwards == {}
    assert sorted(jobs) == ["both-0", "both-1", "both-2"]
    assert max(times.values()) < TAKE_OVER_SECONDS, json.dumps(times)


@pytest.mark.slow
def test_both_are_alive_while_only_the_leader_takes_reports(pair: Pair) -> None:
    leader = pair.leader()

    alive = [each.process.get("/healthz")[0] for each in pair.operators]
    with pytest.raises(requests.ConnectionError):
        requests.get(pair.other(leader).reports, timeout=PATIENCE)

    assert alive == [200, 200]
    assert requests.get(leader.reports, verify=False, timeout=PATIENCE).status_code == 404  # noqa: S501


@pytest.mark.slow
def test_an_api_server_that_is_away_ends_neither_and_afterwards_one_of_them_works(pair: Pair, space: Space) -> None:
    written = sum(each.process.log.stat().st_size for each in pair.operators)
    fleet = [f"away-{number}" for number in range(20)]
    space.apply(*(finetunejob(name, pod=NOWHERE) for name in fleet))

    for each in pair.operators:
        each.cable.cut()
    for each in pair.operators:
        wait_for(lambda each=each: each.process.get("/readyz")[0], lambda code: code == 503, f"{each.name} to notice")
    time.sleep(AWAY_SECONDS)
    alive = [each.process.get("/healthz") for each in pair.operators]
    for each in pair.operators:
        each.cable.mend()
    for name in fleet:
        space.until(name, lambda status: status.get("phase") == "Pending", "a status")
    ready = [
        wait_for(lambda each=each: each.process.get("/readyz"), lambda now: now[0] == 200, each.name)
        for each in pair.operators
    ]

    assert (alive, ready) == ([(200, "ok\n")] * 2, [(200, "ok\n")] * 2)
    assert sum(each.process.log.stat().st_size for each in pair.operators) - written < 40_000
