"""The endpoints of the Hub that make repositories and commits, with large files over LFS. Repositories are in memory."""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

TOKEN = "hf_WriterOfTheTests0123"
READER = "hf_ReaderOfTheTests0123"
LARGE = (".safetensors", ".bin", ".pt")


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[tuple[str, list[str], list[str]]] = field(default_factory=list)
    """Title, files written, files deleted."""

    @property
    def sha(self) -> str:
        return hashlib.sha256(f"{len(self.commits)}".encode()).hexdigest()[:40]


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.refuse_commits = 0
        """Status to answer the next commits with; 0 takes them."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def do_PUT(self) -> None:
        content = self._body()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self._json({})

    def do_POST(self) -> None:
        self._content = self._body()
        self._route()

    def _route(self) -> None:
        parts = unquote(urlparse(self.path).path).strip("/").split("/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in (TOKEN, READER):
            return self._refuse(401, "RepoNotFound")
        if self.path == "/api/repos/create":
            return self._create(token)
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2]).removesuffix(".git")
        repository = self.server.repositories.get(name)
        if repository is None:
            return self._refuse(404, "RepoNotFound")
        match parts[4:] if parts[0] == "api" else parts[2:]:
            case ["auth-check", "write"]:
                return self._json({}) if token == TOKEN else self._refuse(403, "Forbidden")
            case [] | ["revision", _]:
                return self._json({"id": name, "sha": repository.sha, "siblings": []})
            case ["tree", *_]:
                return self._tree(repository)
            case ["preupload", _]:
                return self._preupload()
            case ["info", "lfs", "objects", "batch"]:
                return self._batch()
            case ["commit", _]:
                return self._commit(name, repository)
            case ["resolve", _, *path]:
                return self._file(repository, "/".join(path))
        return self._refuse(404, "EntryNotFound")

    def _create(self, token: str) -> None:
        asked = json.loads(self._content)
        name = f"{asked['organization']}/{asked['name']}"
        if token != TOKEN:
            return self._refuse(403, "Forbidden")
        if name in self.server.repositories:
            return self._json({"url": f"{self.server.url}/{name}"}, 409)
        self.server.repositories[name] = Repository(
            private=asked.get("visibility") == "private" or asked.get("private", False)
        )
        return self._json({"url": f"{self.server.url}/{name}"})

    def _tree(self, repository: Repository) -> None:
        if not repository.commits:
            return self._refuse(404, "EntryNotFound")
        return self._json(
            [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha256(content).hexdigest()[:40]}
                for path, content in repository.files.items()
            ]
        )

    def _preupload(self) -> None:
        files = json.loads(self._content)["files"]
        modes = ["lfs" if file["path"].endswith(LARGE) else "regular" for file in files]
        told = [
            {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            for file, mode in zip(files, modes, strict=True)
        ]
        return self._json({"files": told})

    def _batch(self) -> None:
        objects = [
            {**entry, "actions": {"upload": {"href": f"{self.server.url}/upload/{entry['oid']}"}}}
            for entry in json.loads(self._content)["objects"]
        ]
        return self._json({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, repository: Repository) -> None:
        lines = [json.loads(line) for line in self._content.splitlines()]
        if self.server.refuse_commits:
            return self._refuse(self.server.refuse_commits, "Refused")
        parent = lines[0]["value"].get("parentCommit")
        if parent not in (None, repository.sha):
            return self._refuse(412, "PreconditionFailed")
        written, deleted = [], []
        for line in lines[1:]:
            path = line["value"]["path"]
            match line["key"]:
                case "file":
                    repository.files[path] = base64.b64decode(line["value"]["content"])
                    written.append(path)
                case "lfsFile":
                    repository.files[path] = self.server.large[line["value"]["oid"]]
                    written.append(path)
                case "deletedFile":
                    del repository.files[path]
                    deleted.append(path)
        repository.commits.append((lines[0]["value"]["summary"], sorted(written), sorted(deleted)))
        return self._json(
            {"commitUrl": f"{self.server.url}/{name}/commit/{repository.sha}", "commitOid": repository.sha}
        )

    def _file(self, repository: Repository, path: str) -> None:
        if path not in repository.files:
            return self._refuse(404, "EntryNotFound")
        content = repository.files[path]
        tag = {"X-Repo-Commit": repository.sha, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        return self._send(200, content, tag)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass
