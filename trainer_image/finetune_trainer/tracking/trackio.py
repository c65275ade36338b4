"""trackio (https://huggingface.co/docs/trackio): a run at a server of its own or in a Space, or records that its dashboard takes in from the output.

Both without its client, which would bring a web server along, sends from threads of its own, and does not say what has arrived.
Each point has an id, by which trackio keeps it once, however often it comes.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import requests

from finetune_api.tracking import SPACE, Tracking
from finetune_trainer.progress.history import Measured, Sent
from finetune_trainer.storage.credentials import tracker_credentials
from finetune_trainer.storage.layout import TRACKIO
from finetune_trainer.storage.output import Output
from finetune_trainer.tracking.server import Json, Refused, Server
from finetune_trainer.tracking.tracker import Description, Outcome, TrackerFailure


class _Run:
    """A run as trackio knows it."""

    def __init__(self, project: str, run: Description) -> None:
        self.known_by = {"project": project, "run": run.title, "run_id": run.id}
        self._config: Mapping[str, str] | None = {**run.parameters, **run.tags}

    def records(self, points: Iterable[Measured]) -> list[Json]:
        """Return a record of each point, with the settings in the first one of all."""
        return [self._record(point) for point in points]

    def _record(self, point: Measured) -> Json:
        config, self._config = self._config, None
        return {
            **self.known_by,
            "metrics": point.grouped(),
            "step": point.step,
            "config": config,
            "log_id": f"{self.known_by['run_id']}-{point.kind}-{point.step}",
        }


class TrackioServer:
    """A run at a server, by version 1 of its HTTP API."""

    name = "trackio"

    def __init__(self, uri: str, project: str, run: Description, credentials: Callable[[], Mapping[str, str]]) -> None:
        """`credentials` returns TRACKIO_WRITE_TOKEN of a server, or HF_TOKEN of a Space, as of now."""
        self._server = Server(uri, "trackio")
        self._project = project
        self._run = run
        self._credentials = credentials
        self._sent = _Run(project, run)

    @property
    def url(self) -> str | None:
        return f"{self._server.uri}/?project={self._project}"

    def open(self) -> Sent:
        self._server.headers = _authorize(self._server.uri, self._credentials())
        self._sent = _Run(self._project, self._run)
        found = self._ask("get_run_summary", project=self._project, run_id=self._run.id)
        newest = found.get("last_step") if isinstance(found, dict) else None
        # Of the newest step itself it may have one of two points.
        return Sent() if newest is None else Sent(log=int(newest) - 1, evaluation=int(newest) - 1)

    def send(self, points: Sequence[Measured]) -> None:
        self._ask("bulk_log", logs=self._sent.records(points), hf_token=None)

    def finish(self, outcome: Outcome) -> None:
        """Runs have no state here."""

    def _ask(self, what: str, **fields: Any) -> Any:
        answer = self._server.ask("POST", f"api/{what}", json={"kwargs": fields})
        if answer.status_code == requests.codes.ok:
            return self._server.read(answer).get("data")
        # trackio answers a wrong token with 400 and 500.
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden) or b"_token" in answer.content:
            raise Refused(self._server.uri, answer.status_code)
        raise TrackerFailure(f"{self._server.uri} answers {what} with {answer.status_code}")


class TrackioFiles:
    """The run as a file of the inbox of `TRACKIO_DIR`, which is a folder of the output: made anew from the history by each attempt."""

    name = "trackio"

    def __init__(self, project: str, output: Output, run: Description) -> None:
        self._project = project
        self._output = output
        self._run = run
        self._written = _Run(project, run)
        self._folder = f"{TRACKIO}/inbox/{run.id}"
        self._content = bytearray()
        self._brought = float("-inf")

    @property
    def url(self) -> str | None:
        return self._output.uri_of(self._output.path / TRACKIO)

    def open(self) -> Sent:
        self._output.remove_files(self._folder)
        self._written, self._content = _Run(self._project, self._run), bytearray()
        return Sent()

    def send(self, points: Sequence[Measured]) -> None:
        for record, point in zip(self._written.records(points), points, strict=True):
            measured = datetime.fromtimestamp(point.time, UTC).isoformat()
            line = json.dumps({"v": 1, "kind": "metric", **record, "timestamp": measured})
            self._content += f"{line}\n".encode()
        if time.monotonic() - self._brought >= self._output.log_pause_seconds:
            self._bring()

    def finish(self, outcome: Outcome) -> None:
        # Even if nothing is new: a dashboard may have taken the file away before it was whole.
        self._bring()

    def _bring(self) -> None:
        self._output.grow_file(f"{self._folder}/00000000.jsonl", bytes(self._content))
        self._brought = time.monotonic()


def make(settings: Tracking, output: Output, run: Description) -> TrackioServer | TrackioFiles:
    """Return the run at the server that the settings name, or in the output if they name none."""
    trackio = settings.trackio
    if trackio is None:
        raise ValueError("tracking.trackio is not set")
    if trackio.uri is None:
        return TrackioFiles(trackio.project, output, run)
    return TrackioServer(trackio.uri, trackio.project, run, partial(tracker_credentials, "trackio"))


def _authorize(uri: str, credentials: Mapping[str, str]) -> dict[str, str]:
    token, of_the_hub = credentials.get("TRACKIO_WRITE_TOKEN"), credentials.get("HF_TOKEN")
    return {
        **({"X-Trackio-Write-Token": token} if token else {}),
        **({"Authorization": f"Bearer {of_the_hub}"} if of_the_hub and SPACE.fullmatch(uri) else {}),
    }
