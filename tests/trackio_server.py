"""A server of trackio: one in this process that answers as trackio does what the trainer asks, or trackio's own.

Make test-trackio names the program of the latter in TRACKIO; the same tests run with both.
"""

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

Json = dict[str, Any]
ENV_PROGRAM = "TRACKIO"
TOKEN = "sesame"


class Asking:
    """What somebody sees who asks the server at `uri`."""

    def __init__(self) -> None:
        # A server that comes back has the port of before.
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            self.port = int(server.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self.port}"

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


class OwnTrackio(Asking):
    """trackio's own, with its data in a folder. `env` is added to its environment."""

    def __init__(self, program: str, folder: Path, env: dict[str, str] | None = None) -> None:
        super().__init__()
        self._command = [program, "show", "--host", "127.0.0.1"]
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TRACKIO_DIR": str(folder),
            "TRACKIO_WRITE_TOKEN": TOKEN,
            "TRACKIO_INBOX_POLL_INTERVAL": "5",
            "GRADIO_SERVER_PORT": str(self.port),
            "HF_HUB_OFFLINE": "1",
            **(env or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process:
            return
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while True:
            try:
                if requests.get(f"{self.uri}/version", timeout=60).ok:
                    return
            except requests.ConnectionError:
                assert self._process.poll() is None
                time.sleep(0.2)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


class FakeTrackio(Asking):
    """Four of trackio's requests, in memory. Of points of one id it keeps the first, as trackio does."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse: Callable[[str], int | None] = lambda what: None
        """Returns the status that a request is answered with once it is carried out, if not with success."""
        self.heard: list[tuple[str, Json]] = []
        """Requests and their headers."""
        self._logs: dict[str, Json] = {}
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        if self._server:
            return
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

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


def _handler(server: FakeTrackio) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            what = self.path.removeprefix("/api/")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.heard.append((what, dict(self.headers)))
            if what == "bulk_log" and self.headers["X-Trackio-Write-Token"] != TOKEN:
                status, answer = 400, {"error": "A write_token is required to log metrics"}
            else:
                status, answer = 200, {"data": server.answer(what, body.get("kwargs", body))}
            if refused := server.refuse(what):
                status, answer = refused, {"error": "database is locked"}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
