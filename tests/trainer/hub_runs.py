"""Runs the trainer against a stand-in for the Hub. A program of its own: the Hub's address is read at import.

Takes a folder with `model/` and `data/`; prints a JSON object with the final report of each run, by its name.
"""

import hashlib
import json
import logging
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


ROWS = "text,label\na film,007\na book,7\n"
FILES = {
    "written": {"train.csv": ROWS, "more.jsonl": '{"text": "a day", "label": "x"}'},
    "ragged": {"train.csv": ROWS + "a book, a film,7\n"},
    "named": {
        "README.md": "---\nconfigs:\n- config_name: en\n  data_files: en.csv\n- config_name: de\n  data_files: de.csv\n---\n",
        "en.csv": ROWS,
        "de.csv": ROWS,
    },
}
"""Of data sets that are what a task cannot learn from, or can."""


def git_digest(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - as git does


class Hub(BaseHTTPRequestHandler):
    """The endpoints that huggingface_hub and datasets ask for repositories of a few files."""

    repositories: dict[str, Path] = {}
    gated = ("org/gated",)
    downloads: list[str] = []
    """Every file that was asked for whole, and not for its first bytes only."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        parts = [
            part for part in unquote(urlparse(self.path).path).split("/") if part not in ("", "models", "datasets")
        ]
        api = parts[0] == "api"
        owner, name, verb, revision, *path = [*parts[api:], "", "", "", ""][: max(4, len(parts[api:]))]
        repository = f"{owner}/{name}"
        if repository in self.gated:
            return self.refuse(403, "GatedRepo")
        if repository not in self.repositories:
            return self.refuse(401, "RepoNotFound")
        if revision not in ("main", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        folder = self.repositories[repository]
        if not api:
            return self.give_file(folder / "/".join(path))
        names = sorted(file.name for file in folder.iterdir())
        if verb == "revision":
            return self.give({"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]})
        if path:
            return self.refuse(404, "EntryNotFound")
        entries = [
            {"type": "file", "path": n, "size": (folder / n).stat().st_size, "oid": git_digest(folder / n)}
            for n in names
        ]
        return self.give(entries)

    def give_file(self, path: Path) -> None:
        if not path.is_file():
            return self.refuse(404, "EntryNotFound")
        content = path.read_bytes()
        if self.command == "GET" and "Range" not in self.headers:
            self.downloads.append(f"{path.parent.name}/{path.name}")
        tag = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        return self.send(200, content, tag)

    def give(self, content: Any) -> None:
        self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str) -> None:
        self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


def final_report(folder: Path, model: str, data: str, model_revision: str = "main", data_revision: str = "main") -> Any:
    from finetune_trainer.__main__ import main

    settings = {
        "task": "text-classification",
        "model": {"source": model, "revision": model_revision},
        "dataset": {"source": data, "revision": data_revision, "train": {"split": "train"}},
        "training": {"epochs": 0.1},
        "output": {"uri": f"file://{folder}/out/{model}/{data}"},
        "gpus": 0,
    }
    (folder / "run.json").write_text(json.dumps(settings))
    main(["--config", str(folder / "run.json")])
    return json.loads((folder / "final").read_text())


def runs(folder: Path) -> dict[str, Any]:
    Hub.repositories = {"org/model": folder / "model", "org/data": folder / "data"}
    for name, files in FILES.items():
        (folder / name).mkdir()
        Hub.repositories[f"org/{name}"] = folder / name
        for file, content in files.items():
            (folder / name / file).write_text(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    os.environ.update(
        HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
        HF_HOME=str(folder / "home"),
        HF_HUB_OFFLINE="0",
        FINETUNE_TERMINATION_LOG=str(folder / "final"),
    )
    found = {
        "no model": final_report(folder, "org/none", "org/data"),
        "gated model": final_report(folder, "org/gated", "org/data"),
        "no such revision of the model": final_report(folder, "org/model", "org/data", model_revision="v9"),
        "no model but data": final_report(folder, "org/data", "org/data"),
        "no data": final_report(folder, "org/model", "org/none"),
        "gated data": final_report(folder, "org/model", "org/gated"),
        "no such revision of the data": final_report(folder, "org/model", "org/data", data_revision="v9"),
        "good": final_report(folder, "org/model", "org/data"),
        "written": final_report(folder, "org/model", "org/written"),
        "ragged": final_report(folder, "org/model", "org/ragged"),
        "no configuration": final_report(folder, "org/model", "org/named"),
    }
    server.shutdown()
    server.server_close()
    time.sleep = lambda seconds: None  # the clients try again for minutes, and need not wait here
    found["unreachable model"] = final_report(folder, "org/other", "org/data")
    found["data that was downloaded"] = final_report(folder, f"file://{folder}/model", "org/data")
    found["unreachable data"] = final_report(folder, "org/model", "org/other")
    return found


if __name__ == "__main__":
    logging.disable(logging.INFO)
    result = runs(Path(sys.argv[1]))
    sys.stdout.write("\n" + json.dumps(result))
