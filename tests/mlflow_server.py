"""An MLflow server: one in this process that answers as MLflow does what the trainer asks, or MLflow's own.

Make test-mlflow names the program of the latter in MLFLOW; the same tests run with both.
"""

import re
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path

import requests
from tests.tracker_server import InProcess, Json, OwnProgram

ENV_PROGRAM = "MLFLOW"


class RestClient:
    """What somebody sees who asks the server at `uri`."""

    uri: str

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


class OwnServer(OwnProgram, RestClient):
    """MLflow's own, with its data in a folder."""

    health = "health"

    def __init__(self, program: str, folder: Path) -> None:
        super().__init__()
        self._program, self._folder = program, folder

    def command(self) -> list[str]:
        return [
            self._program, "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db",
            "--artifacts-destination", str(self._folder / "artifacts"),
        ]  # fmt: skip


class FakeServer(InProcess, RestClient):
    """Seven of MLflow's requests, in memory. It keeps points that come twice twice."""

    def __init__(self) -> None:
        super().__init__()
        self.password: str | None = None
        """What the header Authorization must be, if anything."""
        self.refuse: Callable[[str], tuple[int, str] | None] = lambda what: None
        """Returns the status and error code that a request is answered with once it is carried out, if not with success."""
        self.runs: dict[str, Json] = {}
        self.history: dict[str, list[Json]] = {}
        self.experiments: dict[str, str] = {}

    def respond(self, path: str, fields: Json, headers: Mapping[str, str]) -> tuple[int, Json]:
        what = path.removeprefix("/api/2.0/mlflow/")
        if self.password and headers.get("Authorization") != self.password:
            status, answer = 401, Json(error_code="PERMISSION_DENIED")
        else:
            status, answer = self.answer(what, fields)
        if refused := self.refuse(what):
            return refused[0], {"error_code": refused[1]}
        return status, answer

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
