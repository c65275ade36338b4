"""MLflow, by its REST API 2.0 (https://mlflow.org/docs/latest/rest-api.html).

MLflow's own client is left out: it brings a web framework, two SDKs of clouds and forty packages along, holds some of ours to
older versions, and would hide which points have arrived. Seven requests do.
"""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

import requests

from finetune_api.tracking import Mlflow, Tracking
from finetune_trainer.progress.history import Measured, Sent
from finetune_trainer.storage.credentials import tracker_credentials
from finetune_trainer.storage.output import Output
from finetune_trainer.tracking.server import Json, Refused, Server
from finetune_trainer.tracking.tracker import Description, Outcome, TrackerFailure

_MOST_METRICS, _MOST_PARAMETERS, _LONGEST_PARAMETER, _LONGEST_TAG = 1000, 100, 500, 5000
"""Of one request, and characters of a value; MLflow refuses more."""
_RUN_TAG: Final = "finetune.run"
_STATUS: Final[Mapping[Outcome, str]] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "SCHEDULED"}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_./ -]")


class MlflowTracker:
    """A run at an MLflow server. It is found by a tag, so that nothing of it has to be kept here."""

    name = "mlflow"

    def __init__(self, settings: Mlflow, run: Description, credentials: Callable[[], Mapping[str, str]]) -> None:
        """`credentials` returns MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or none, as of now."""
        self._server = Server(settings.uri, "MLflow")
        self._experiment = settings.experiment
        self._run = run
        self._credentials = credentials
        self._ids: tuple[str, str] | None = None

    @property
    def url(self) -> str | None:
        return f"{self._server.uri}/#/experiments/{self._ids[0]}/runs/{self._ids[1]}" if self._ids else None

    def open(self) -> Sent:
        self._server.headers = _authorize(self._credentials())
        experiment = self._find_experiment()
        run = self._find_run(experiment) or self._create_run(experiment)
        self._ids = experiment, run["info"]["run_id"]
        if run["info"]["status"] != "RUNNING":
            self._update("RUNNING")
        data = run.get("data", {})
        self._describe({each["key"] for each in data.get("params", [])})
        sent = Sent()
        for metric in data.get("metrics", []):  # the newest of each name
            sent = sent.with_step("evaluation" if metric["key"].startswith("eval_") else "log", int(metric["step"]))
        return sent

    def send(self, points: Sequence[Measured]) -> None:
        # Whole lines: the newest step that the server has of any name is then one that it has all of.
        batch: list[Json] = []
        for point in points:
            metrics = _metrics(point)
            if batch and len(batch) + len(metrics) > _MOST_METRICS:
                self._log(metrics=batch)
                batch = []
            batch += metrics
        if batch:
            self._log(metrics=batch)

    def finish(self, outcome: Outcome) -> None:
        self._update(_STATUS[outcome], **({} if outcome == "stopped" else {"end_time": _milliseconds(time.time())}))

    def _find_experiment(self) -> str:
        try:
            found = self._ask("GET", "experiments/get-by-name", experiment_name=self._experiment)
        except _Answered as answer:
            if answer.code != "RESOURCE_DOES_NOT_EXIST":
                raise
        else:
            return str(found["experiment"]["experiment_id"])
        try:
            return str(self._ask("POST", "experiments/create", name=self._experiment)["experiment_id"])
        except _Answered as answer:  # another run was faster
            if answer.code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = self._ask("GET", "experiments/get-by-name", experiment_name=self._experiment)
            return str(found["experiment"]["experiment_id"])

    def _find_run(self, experiment: str) -> Json | None:
        query = f"tags.`{_RUN_TAG}` = '{self._run.id}'"
        found = self._ask("POST", "runs/search", experiment_ids=[experiment], filter=query, max_results=1)
        return next(iter(found.get("runs", [])), None)

    def _create_run(self, experiment: str) -> Json:
        tags = [{"key": _RUN_TAG, "value": self._run.id}]
        start = _milliseconds(time.time())
        created = self._ask(
            "POST", "runs/create", experiment_id=experiment, run_name=self._run.title, start_time=start, tags=tags
        )
        run: Json = created["run"]
        return run

    def _describe(self, known: set[str]) -> None:
        """Log parameters that are not there yet, which MLflow never changes, and the tags of this attempt."""
        new = iter([(name, text) for name, text in self._run.parameters.items() if name not in known])
        while some := list(islice(new, _MOST_PARAMETERS)):
            self._log(params=[{"key": name[:250], "value": text[:_LONGEST_PARAMETER]} for name, text in some])
        tags = [{"key": name, "value": text[:_LONGEST_TAG]} for name, text in self._run.tags.items()]
        if tags:
            self._log(tags=tags)

    def _log(self, **what: list[Json]) -> None:
        self._ask("POST", "runs/log-batch", run_id=self._ids and self._ids[1], **what)

    def _update(self, status: str, **more: Any) -> None:
        self._ask("POST", "runs/update", run_id=self._ids and self._ids[1], status=status, **more)

    def _ask(self, method: str, what: str, **fields: Any) -> Json:
        sent = {"params": fields} if method == "GET" else {"json": fields}
        answer = self._server.ask(method, f"api/2.0/mlflow/{what}", **sent)
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise Refused(self._server.uri, answer.status_code)
        if answer.status_code != requests.codes.ok:
            raise _Answered(self._server.uri, what, answer)
        return self._server.read(answer)


def make(settings: Tracking, output: Output, run: Description) -> MlflowTracker:
    """Return the run at the server that the settings name."""
    if settings.mlflow is None:
        raise ValueError("tracking.mlflow is not set")
    return MlflowTracker(settings.mlflow, run, partial(tracker_credentials, "mlflow"))


class _Answered(TrackerFailure):
    """The server refuses, with one of MLflow's error codes if it is one."""

    def __init__(self, uri: str, what: str, answer: requests.Response) -> None:
        self.code = _error_code(answer)
        super().__init__(f"{uri} answers {what} with {answer.status_code} {self.code}".rstrip())


def _error_code(answer: requests.Response) -> str:
    try:
        code = json.loads(answer.content[:65536])["error_code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return re.sub("[^A-Z_]", "", str(code))[:64]


def _authorize(credentials: Mapping[str, str]) -> dict[str, str]:
    name, password = (credentials.get(f"MLFLOW_TRACKING_{key}") for key in ("USERNAME", "PASSWORD"))
    if name and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}
    token = credentials.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _metrics(point: Measured) -> list[Json]:
    return [
        {"key": name, "value": value, "timestamp": _milliseconds(point.time), "step": point.step}
        for name, value in _named(point)
    ]


def _named(point: Measured) -> Iterator[tuple[str, float]]:
    for name, value in (
        {"epoch": point.epoch, **point.metrics}.items() if point.kind == "log" else point.metrics.items()
    ):
        yield _NOT_IN_NAMES.sub("_", name)[:250], value


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
