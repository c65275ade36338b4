"""A node without containers: it binds pods, and says of each what the test wants its trainer to have done.

A pod reports by the trainer's own connection, which stays open, with a token of the pod and what it mounts of the endpoint's
authority, and leaves its final report in the termination message.
"""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from urllib3.exceptions import HTTPError

from devcluster.testing.api import MERGE, Api, ApiError
from finetune_api.report import AUDIENCE, ENV_CA_CERT, ENV_SERVER_URL, ExitCode
from finetune_trainer.progress.endpoint import Endpoint, Refused

NODE: Final = "chaos"
STEPS: Final = 40
_TICK_SECONDS = 0.05
_PASSING = (403, 404, 409, 429)
"""What the API server answers where a pod or its namespace goes meanwhile, or it has too much to do."""
_MOUNT_SECONDS = 1.0
"""A real kubelet takes up to a minute until a pod sees what a ConfigMap holds now."""


@dataclass
class _Run:
    """A pod's trainer, as far as it came."""

    pod: dict[str, Any]
    step: int
    last_step: int
    exit_code: int
    resumed_from: int
    endpoint: Endpoint
    mounted: float
    """When what it mounts was written last."""
    done: float = 0.0
    """Steps since it began."""
    sequence: int = 0
    taken: bool = False
    """Whether a report of it was ever taken."""
    reported: float = 0.0


@dataclass
class Kubelet:
    """Runs the pods of one namespace until `stop`. A job whose name ends in `-resumes` fails once, half way, and one in `-empty` at
    once, for its data, with nothing saved."""

    api: Api
    namespace: str
    folder: Path
    """Of what pods mount."""
    seconds_a_step: float = 0.02
    report_seconds: float = 0.2
    answer_seconds: float = 2.0
    """How long a report waits for its answer, and all other pods for that: an operator is away half of the time in most tests."""
    steps: int = STEPS
    """Of a whole run."""
    _runs: dict[str, _Run] = field(default_factory=dict)
    _saved: dict[str, int] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _unwritten: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """Path and status of pods, by their uids, which the API server has not taken yet."""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _reporting: threading.Lock = field(default_factory=threading.Lock)
    future: dict[str, Any] = field(default_factory=dict)
    """What its trainers report besides, of which this operator knows nothing."""
    uids: dict[str, set[str]] = field(default_factory=dict)
    """The uids of all pods that ever trained, by the uid of their FineTuneJob."""
    answers: Counter[int] = field(default_factory=Counter)
    """How often reports were answered by each status; 0 is no answer."""
    disowned: list[str] = field(default_factory=list)
    """The pods of which a report was taken and then refused for good, so that their trainer stopped. All of them are there, as it should never be."""

    def start(self) -> None:
        """Register the node, unless another test has, and run in a thread of its own."""
        labels = {"kubernetes.io/hostname": NODE, "chaos": "true"}
        made = self.api("POST", "/api/v1/nodes", {"metadata": {"name": NODE, "labels": labels}})
        assert made.code in (201, 409), made.body
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def train_and_report(self) -> None:
        """Have each pod make a step and report it now, as trainers do that know nothing of a node and its API server."""
        for run in list(self._runs.values()):
            self._train(run, 1)
            self._report(run)

    def step_of(self, job: str) -> int:
        """How far the pods of a FineTuneJob are that train now, by its uid."""
        runs = [*self._runs.values()]
        return max(
            (run.step for run in runs if run.pod["metadata"]["labels"]["finetune.dev/job-uid"] == job), default=0
        )

    def stop(self) -> None:
        """End the thread; pods stay as they are."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_SECONDS):
            with _until_the_next_look():
                listed = self.api("GET", f"/api/v1/namespaces/{self.namespace}/pods").object()
                self._look_at([pod for pod in listed["items"] if _is_for_us(pod)])

    def _look_at(self, pods: list[dict[str, Any]]) -> None:
        there = {pod["metadata"]["uid"]: pod for pod in pods}
        for uid in self._runs.keys() - there.keys():
            if gone := self._runs.pop(uid, None):
                gone.endpoint.close()
        for uid, pod in there.items():
            with _until_the_next_look():
                self._look_after(uid, pod)
        for uid in list(self._unwritten):
            with _until_the_next_look():
                self._write_status(uid)

    def _look_after(self, uid: str, pod: dict[str, Any]) -> None:
        job = pod["metadata"].get("labels", {}).get("finetune.dev/job-uid", "")
        run = self._runs.get(uid)
        if "deletionTimestamp" in pod["metadata"]:
            if run is not None:
                self._end(run, 143)
            elif uid not in self._unwritten:
                self._remove(pod)
            return
        if uid in self._ended or not job:
            return
        if run is None:
            self._begin(uid, pod, job)
            return
        self._train(run, _TICK_SECONDS / self.seconds_a_step)
        if time.monotonic() - run.mounted >= _MOUNT_SECONDS and run.endpoint.ca_cert:
            run.mounted = time.monotonic()
            self._write_authority(pod, run.endpoint.ca_cert)
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
        self._bind(pod)
        endpoint = self._mount(uid, pod)
        labels = pod["metadata"]["labels"]
        checks = labels["app.kubernetes.io/component"] == "preflight"
        fails = labels["finetune.dev/job-name"].endswith("-resumes") and job not in self.uids and not checks
        if not checks:
            self.uids.setdefault(job, set()).add(uid)
        begun = self._saved.get(job, 0)
        last = 0 if checks else self.steps // 2 if fails else self.steps
        code = 1 if fails else 0
        if labels["finetune.dev/job-name"].endswith("-empty"):
            last, code = 0, int(ExitCode.DATA)
        self._runs[uid] = _Run(pod, begun, last, code, begun, endpoint, time.monotonic())
        self._status(pod, "Running", {"running": {"startedAt": _now()}})

    def _bind(self, pod: dict[str, Any]) -> None:
        """Give the pod the node, unless it has it."""
        if pod["spec"].get("nodeName"):
            return
        name, target = pod["metadata"]["name"], {"apiVersion": "v1", "kind": "Node", "name": NODE}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        self.api("POST", f"{self._path(pod)}/binding", binding).object()

    def _mount(self, uid: str, pod: dict[str, Any]) -> Endpoint:
        """Write the pod's token and the authority, and return where it reports to."""
        (container,) = pod["spec"]["containers"]
        environment = {each["name"]: each.get("value", "") for each in container["env"]}
        name = pod["metadata"]["name"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
        made = self.api(
            "POST",
            f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token",
            {"spec": {"audiences": [AUDIENCE], "boundObjectRef": bound}},
        )
        token, authority = self.folder / f"{uid}-token", self.folder / f"{uid}-{Path(environment[ENV_CA_CERT]).name}"
        token.write_text(made.object()["status"]["token"])
        self._write_authority(pod, authority)
        return Endpoint(environment[ENV_SERVER_URL], authority, token)

    def _write_authority(self, pod: dict[str, Any], file: Path) -> None:
        """Write what the mounted ConfigMaps hold of it now. Where there is none the file stays as it is, as a mounted one does."""
        name = file.name.removeprefix(f"{pod['metadata']['uid']}-")
        for volume in pod["spec"]["volumes"]:
            for source in volume.get("projected", {}).get("sources", [volume]):
                if "configMap" in source:
                    path = f"/api/v1/namespaces/{self.namespace}/configmaps/{source['configMap']['name']}"
                    found = self.api("GET", path)
                    held = None if found.code == 404 else (found.object().get("data") or {}).get(name)
                    if held is not None:
                        file.write_text(held)

    def _state(self, run: _Run) -> dict[str, Any]:
        saved = self._saved.get(run.pod["metadata"]["labels"]["finetune.dev/job-uid"], 0)
        uri = self._output(run.pod)
        return {
            "progress": {"step": run.step, "totalSteps": self.steps, "percent": 100 * run.step // self.steps},
            "metrics": [{"name": "loss", "value": f"{1 / (1 + run.step):.4f}"}],
            "checkpoints": [{"step": saved, "uri": f"{uri}/checkpoints/step-{saved:06}"}] if saved else [],
            "resumedFromStep": run.resumed_from,
            **self.future,
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
        body = {"report": {"sequence": run.sequence, "stage": "Training", **self._state(run)}}
        try:
            with self._reporting:
                run.endpoint.post(json.dumps(body).encode(), timeout=self.answer_seconds)
            status = 200
        except Refused as error:
            status = error.status
        except (OSError, ValueError, http.client.HTTPException):
            status = 0  # The operator is away, as it is the half of the time here.
        self.answers[status] += 1
        if status == 403 and run.taken:
            self.disowned.append(run.pod["metadata"]["name"])
            self._end(run, 143)
        run.taken = run.taken or status == 200

    def _end(self, run: _Run, code: int) -> None:
        uid = run.pod["metadata"]["uid"]
        if self._runs.pop(uid, None) is None:
            return  # A report that another thread made has ended it.
        self._ended.add(uid)
        run.endpoint.close()
        final: dict[str, Any] = {"exitCode": code, **self._state(run)}
        if code == 0:
            final["model"] = {"uri": f"{self._output(run.pod)}/model"}
        elif code == 1:
            final["failure"] = {"reason": "InternalError", "message": "the test wanted it"}
        elif code == ExitCode.DATA:
            final |= {"outputEmpty": True, "failure": {"reason": "ColumnNotFound", "message": "no column x"}}
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
        self._unwritten[pod["metadata"]["uid"]] = f"{self._path(pod)}/status", status

    def _write_status(self, uid: str) -> None:
        """Write it at the end of this look, or of a later one."""
        path, status = written = self._unwritten[uid]
        answer = self.api("PATCH", path, {"status": status}, MERGE)
        if answer.code != 404:  # it has gone
            answer.object()
        if self._unwritten[uid] is written:  # no report of another thread's has ended the run meanwhile
            del self._unwritten[uid]

    def _remove(self, pod: dict[str, Any]) -> None:
        self.api("DELETE", self._path(pod), {"gracePeriodSeconds": 0}).object()

    def _path(self, pod: dict[str, Any]) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"


@contextmanager
def _until_the_next_look() -> Iterator[None]:
    """What fails here, because the API server is away, is busy or has what it is about no more, is tried at the next look."""
    try:
        yield
    except HTTPError:
        pass
    except ApiError as error:
        if error.code not in _PASSING and error.code < 500:
            raise


def _is_for_us(pod: dict[str, Any]) -> bool:
    return bool(pod["spec"].get("nodeSelector", {}).get(NODE, "true") == "true")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
