"""A node without containers: it binds pods, and says of each what the test wants its trainer to have done.

A pod reports over HTTPS with a token of its own, as the trainer does, and leaves its final report in the termination message.
"""

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from urllib3.exceptions import HTTPError

from devcluster.testing.api import MERGE, Api
from finetune_api.report import AUDIENCE, ENV_SERVER_URL

NODE: Final = "chaos"
STEPS: Final = 40
_TICK_SECONDS = 0.05
_ANYBODY = ssl.create_default_context()
_ANYBODY.check_hostname = False
_ANYBODY.verify_mode = ssl.CERT_NONE


@dataclass
class _Run:
    """A pod's trainer, as far as it came."""

    pod: dict[str, Any]
    step: int
    last_step: int
    exit_code: int
    resumed_from: int
    token: str
    done: float = 0.0
    """Steps since it began."""
    sequence: int = 0
    taken: bool = False
    """Whether a report of it was ever taken."""
    reported: float = 0.0


@dataclass
class Kubelet:
    """Runs the pods of one namespace until `stop`. A job whose name ends in `-resumes` fails once, half way."""

    api: Api
    namespace: str
    seconds_a_step: float = 0.02
    report_seconds: float = 0.2
    steps: int = STEPS
    """Of a whole run."""
    _runs: dict[str, _Run] = field(default_factory=dict)
    _saved: dict[str, int] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _stopping: threading.Event = field(default_factory=threading.Event)
    uids: dict[str, set[str]] = field(default_factory=dict)
    """The uids of all pods that ever trained, by the uid of their FineTuneJob."""
    answers: Counter[int] = field(default_factory=Counter)
    """How often reports were answered by each status; 0 is no answer."""
    disowned: list[str] = field(default_factory=list)
    """The pods of which a report was taken and then refused for good, so that their trainer stopped. All of them are there, as it should never be."""

    def start(self) -> None:
        """Register the node, and run in a thread of its own."""
        labels = {"kubernetes.io/hostname": NODE, "chaos": "true"}
        self.api("POST", "/api/v1/nodes", {"metadata": {"name": NODE, "labels": labels}})
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def train_and_report(self) -> None:
        """Have each pod make a step and report it now, as trainers do that know nothing of a node and its API server."""
        for run in list(self._runs.values()):
            self._train(run, 1)
            self._report(run)

    def stop(self) -> None:
        """End the thread; pods stay as they are."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_SECONDS):
            try:
                listed = self.api("GET", f"/api/v1/namespaces/{self.namespace}/pods")
            except HTTPError:
                continue
            if listed.code != 200:
                continue
            there = {pod["metadata"]["uid"]: pod for pod in listed.body["items"]}
            for uid in self._runs.keys() - there.keys():
                del self._runs[uid]
            for uid, pod in there.items():
                self._look_after(uid, pod)

    def _look_after(self, uid: str, pod: dict[str, Any]) -> None:
        job = pod["metadata"].get("labels", {}).get("finetune.dev/job-uid", "")
        if uid in self._ended or not job:
            if "deletionTimestamp" in pod["metadata"]:
                self._remove(pod)
            return
        run = self._runs.get(uid)
        if run is None:
            self._begin(uid, pod, job)
            return
        if "deletionTimestamp" in pod["metadata"]:
            self._end(run, 143)
            self._remove(pod)
            return
        self._train(run, _TICK_SECONDS / self.seconds_a_step)
        if time.monotonic() - run.reported >= self.report_seconds:
            self._report(run)
        if uid not in self._ended and run.step >= run.last_step:
            self._end(run, run.exit_code)

    def _train(self, run: _Run, steps: float) -> None:
        run.done += steps
        run.step = min(run.last_step, run.resumed_from + int(run.done))
        job = run.pod["metadata"]["labels"]["finetune.dev/job-uid"]
        self._saved[job] = max(self._saved.get(job, 0), run.step // 10 * 10)

    def _begin(self, uid: str, pod: dict[str, Any], job: str) -> None:
        if not pod["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": pod["metadata"]["name"]},
                "target": target,
            }
            self.api("POST", f"{self._path(pod)}/binding", binding)
        labels = pod["metadata"]["labels"]
        checks = labels["app.kubernetes.io/component"] == "preflight"
        fails = labels["finetune.dev/job-name"].endswith("-resumes") and job not in self.uids and not checks
        if not checks:
            self.uids.setdefault(job, set()).add(uid)
        begun = self._saved.get(job, 0)
        last = 0 if checks else self.steps // 2 if fails else self.steps
        token = self.api(
            "POST",
            f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token",
            {
                "spec": {
                    "audiences": [AUDIENCE],
                    "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": uid},
                }
            },
        ).body["status"]["token"]
        self._runs[uid] = _Run(pod, begun, last, 1 if fails else 0, begun, token)
        self._status(pod, "Running", {"running": {"startedAt": _now()}})

    def _state(self, run: _Run) -> dict[str, Any]:
        saved = self._saved.get(run.pod["metadata"]["labels"]["finetune.dev/job-uid"], 0)
        uri = self._output(run.pod)
        return {
            "progress": {"step": run.step, "totalSteps": self.steps, "percent": 100 * run.step // self.steps},
            "metrics": [{"name": "loss", "value": f"{1 / (1 + run.step):.4f}"}],
            "checkpoints": [{"step": saved, "uri": f"{uri}/checkpoints/step-{saved:06}"}] if saved else [],
            "resumedFromStep": run.resumed_from,
        }

    def _output(self, pod: dict[str, Any]) -> str:
        claims = [
            each["persistentVolumeClaim"]["claimName"]
            for each in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in each
        ]
        return f"pvc://{claims[0]}" if claims else "pvc://none"

    def _report(self, run: _Run) -> None:
        run.reported = time.monotonic()
        run.sequence += 1
        (container,) = run.pod["spec"]["containers"]
        url = next(each["value"] for each in container["env"] if each["name"] == ENV_SERVER_URL)
        body = {"report": {"sequence": run.sequence, "stage": "Training", **self._state(run)}}
        request = urllib.request.Request(  # noqa: S310
            url, json.dumps(body).encode(), {"Authorization": f"Bearer {run.token}", "Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=2, context=_ANYBODY).close()  # noqa: S310
            status = 200
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0  # The operator is away, as it is the half of the time here.
        self.answers[status] += 1
        if status == 403 and run.taken:
            self.disowned.append(run.pod["metadata"]["name"])
            self._end(run, 143)
        run.taken = run.taken or status == 200

    def _end(self, run: _Run, code: int) -> None:
        uid = run.pod["metadata"]["uid"]
        self._ended.add(uid)
        del self._runs[uid]
        final: dict[str, Any] = {"exitCode": code, **self._state(run)}
        if code == 0:
            final["model"] = {"uri": f"{self._output(run.pod)}/model"}
        elif code == 1:
            final["failure"] = {"reason": "InternalError", "message": "the test wanted it"}
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": json.dumps(final)}
        times = {"startedAt": _now(), "finishedAt": _now()}
        self._status(run.pod, "Succeeded" if code == 0 else "Failed", {"terminated": {**ended, **times}})

    def _status(self, pod: dict[str, Any], phase: str, state: dict[str, Any]) -> None:
        (container,) = pod["spec"]["containers"]
        status = {
            "phase": phase,
            "startTime": _now(),
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": phase == "Running",
                    "started": phase == "Running",
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        self.api("PATCH", f"{self._path(pod)}/status", {"status": status}, MERGE)

    def _remove(self, pod: dict[str, Any]) -> None:
        self.api("DELETE", self._path(pod), {"gracePeriodSeconds": 0})

    def _path(self, pod: dict[str, Any]) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
