"""A server of trackio: one in this process that answers as trackio does what the trainer asks, or trackio's own.

Make test-trackio names the program of the latter in TRACKIO; the same tests run with both.
"""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests
from tests.tracker_server import InProcess, Json, OwnProgram

ENV_PROGRAM = "TRACKIO"
TOKEN = "sesame"


class Asking:
    """What somebody sees who asks the server at `uri`."""

    uri: str

    def run(self, project: str) -> Json:
        """Name, id, settings and points of the only run of a project."""
        (run,) = self._ask("get_runs_for_project", project=project)
        summary = self._ask("get_run_summary", project=project, run_id=run["id"])
        points = self._ask("get_logs", project=project, run=run["name"], run_id=run["id"])
        return {"name": run["name"], "id": run["id"], "config": summary["config"], "points": points}

    def steps(self, metric: str, project: str) -> list[int]:
        """The steps of all points of a metric."""
        try:
            points = self.run(project)["points"]
        except ValueError:  # there is no run yet
            return []
        return [point["step"] for point in points if metric in point]

    def _ask(self, what: str, **fields: Any) -> Any:
        answer = requests.post(f"{self.uri}/api/{what}", json=fields, timeout=60)
        answer.raise_for_status()
        return answer.json()["data"]


class OwnTrackio(OwnProgram, Asking):
    """trackio's own, with its data in a folder. `env` is added to its environment."""

    health = "version"
    ends_by = signal.SIGKILL

    def __init__(self, program: str, folder: Path, env: dict[str, str] | None = None) -> None:
        super().__init__()
        self._program, self._folder, self._env = program, folder, env or {}

    def command(self) -> list[str]:
        return [self._program, "show", "--host", "127.0.0.1"]

    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "TRACKIO_DIR": str(self._folder),
            "TRACKIO_WRITE_TOKEN": TOKEN,
            "TRACKIO_INBOX_POLL_INTERVAL": "5",
            "GRADIO_SERVER_PORT": str(self.port),
            "HF_HUB_OFFLINE": "1",
            **self._env,
        }


class FakeTrackio(InProcess, Asking):
    """Four of trackio's requests, in memory. Of points of one id it keeps the first, as trackio does."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse: Callable[[str], int | None] = lambda what: None
        """Returns the status that a request is answered with once it is carried out, if not with success."""
        self._logs: dict[str, Json] = {}

    def respond(self, path: str, fields: Json, headers: Mapping[str, str]) -> tuple[int, Json]:
        what = path.removeprefix("/api/")
        if what == "bulk_log" and headers.get("X-Trackio-Write-Token") != TOKEN:
            status, answer = 400, {"error": "A write_token is required to log metrics"}
        else:
            status, answer = 200, {"data": self.answer(what, fields.get("kwargs", fields))}
        if refused := self.refuse(what):
            return refused, {"error": "database is locked"}
        return status, answer

    def answer(self, what: str, fields: Json) -> Any:
        """The data for a request."""
        logs = [each for each in self._logs.values() if each["project"] == fields.get("project")]
        if what == "bulk_log":
            for each in fields["logs"]:
                self._logs.setdefault(each["log_id"], each)
            return None
        if what == "get_runs_for_project":
            return [dict(run) for run in {(("id", each["run_id"]), ("name", each["run"])) for each in logs}]
        logs = [each for each in logs if each["run_id"] == fields["run_id"]]
        if what == "get_run_summary":
            config = next((each["config"] for each in reversed(logs) if each["config"]), None)
            return {"last_step": max((each["step"] for each in logs), default=None), "config": config}
        assert what == "get_logs"
        return [{**each["metrics"], "step": each["step"]} for each in logs]
