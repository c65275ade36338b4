"""An MLflow server: one in this process that answers as MLflow does what the trainer asks, or MLflow's own.

Make test-mlflow names the program of the latter in MLFLOW; the same tests run with both.
"""

import json
import re
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from devcluster.ports import free_ports

Json = dict[str, Any]
ENV_PROGRAM = "MLFLOW"


class RestClient:
    """What somebody sees who asks the server at `uri`."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def run(self, experiment: str = "finetune") -> Json:
        """The only run of an experiment."""
        found = self._ask(f"experiments/get-by-name?experiment_name={experiment}")["experiment"]["experiment_id"]
        (run,) = self._ask("runs/search", {"experiment_ids": [found], "filter": ""})["runs"]
        return dict(run)

    def steps(self, metric: str, run: Json) -> list[int]:
        """The steps of all points of a metric."""
        query = urllib.parse.urlencode({"run_id": run["info"]["run_id"], "metric_key": metric})
        return [int(point["step"]) for point in self._ask(f"metrics/get-history?{query}").get("metrics", [])]

    def _ask(self, what: str, body: Json | None = None) -> Json:
        url = f"{self.uri}/api/2.0/mlflow/{what}"
        answer = requests.get(url, timeout=60) if body is None else requests.post(url, json=body, timeout=60)
        answer.raise_for_status()
        return dict(answer.json())


class OwnServer(RestClient):
    """MLflow's own, with its data in a folder."""

    def __init__(self, program: str, folder: Path) -> None:
        (self._port,) = free_ports(1)  # a server that comes back has the port of before
        super().__init__(f"http://127.0.0.1:{self._port}")
        self._command = [
            program, "server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process:
            return
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                if requests.get(f"{self.uri}/health", timeout=60).ok:
                    return
            except requests.ConnectionError:
                assert self._process.poll() is None
                time.sleep(0.2)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None


class FakeServer(RestClient):
    """Seven of MLflow's requests, in memory. It keeps points that come twice twice."""

    def __init__(self) -> None:
        (self._port,) = free_ports(1)  # a server that comes back has the port of before
        super().__init__(f"http://127.0.0.1:{self._port}")
        self.password: str | None = None
        """What the header Authorization must be, if anything."""
        self.refuse: Callable[[str], tuple[int, str] | None] = lambda what: None
        """Returns the status and error code that a request is answered with once it is carried out, if not with success."""
        self.runs: dict[str, Json] = {}
        self.history: dict[str, list[Json]] = {}
        self.experiments: dict[str, str] = {}
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        if self._server:
            return
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, what: str, fields: Json) -> tuple[int, Json]:
        """The status and body for a request."""
        match what:
            case "experiments/get-by-name":
                if (found := self.experiments.get(fields["experiment_name"])) is None:
                    return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
                return 200, {"experiment": {"experiment_id": found}}
            case "experiments/create":
                self.experiments[fields["name"]] = str(len(self.experiments) + 1)
                return 200, {"experiment_id": self.experiments[fields["name"]]}
            case "runs/search":
                wanted = re.fullmatch(r"tags\.`(.*)` = '(.*)'", fields["filter"])
                runs = [self._shown(name) for name in self.runs]
                runs = [run for run in runs if run["info"]["experiment_id"] in fields["experiment_ids"]]
                if wanted:
                    tag = {"key": wanted[1], "value": wanted[2]}
                    runs = [run for run in runs if tag in run["data"]["tags"]]
                return 200, {"runs": runs} if runs else {}
            case "runs/create":
                name = f"run{len(self.runs)}"
                info = {
                    "run_id": name,
                    "experiment_id": fields["experiment_id"],
                    "run_name": fields["run_name"],
                    "status": "RUNNING",
                }
                self.runs[name] = {"info": info, "tags": fields["tags"], "params": []}
                self.history[name] = []
                return 200, {"run": self._shown(name)}
            case "runs/update":
                self.runs[fields["run_id"]]["info"]["status"] = fields["status"]
                return 200, {}
            case "runs/log-batch":
                assert sum(len(fields.get(each, [])) for each in ("metrics", "params", "tags")) <= 1000
                run = self.runs[fields["run_id"]]
                run["params"] += fields.get("params", [])
                run["tags"] += fields.get("tags", [])
                self.history[fields["run_id"]] += fields.get("metrics", [])
                return 200, {}
            case "metrics/get-history":
                points = [each for each in self.history[fields["run_id"]] if each["key"] == fields["metric_key"]]
                return 200, {"metrics": points}
        return 404, {"error_code": "ENDPOINT_NOT_FOUND"}

    def _shown(self, name: str) -> Json:
        run = self.runs[name]
        newest = {each["key"]: each for each in sorted(self.history[name], key=lambda each: int(each["step"]))}
        return {
            "info": dict(run["info"]),
            "data": {"metrics": list(newest.values()), "params": list(run["params"]), "tags": list(run["tags"])},
        }


def _handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query)))

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, fields: Json) -> None:
            what = urllib.parse.urlsplit(self.path).path.removeprefix("/api/2.0/mlflow/")
            if server.password and self.headers["Authorization"] != server.password:
                status, body = 401, {"error_code": "PERMISSION_DENIED"}
            else:
                status, body = server.answer(what, fields)
            if refused := server.refuse(what):
                status, body = refused[0], {"error_code": refused[1]}
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
