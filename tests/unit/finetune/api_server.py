"""An API server of FineTuneJobs, pods and their logs in memory, that breaks connections when it is told to."""

import base64
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

Json = dict[str, Any]
FTJ = "/apis/finetune.dev/v1alpha1/namespaces/team-a/finetunejobs"
PODS = "/api/v1/namespaces/team-a/pods"
_CA = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
"""As in any kubeconfig: a client of one that names none reads the hundred and more of the machine."""


class Break(Exception):
    """The connection is cut in the middle of an answer."""


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Json
    authorization: str


def status(code: int, reason: str, message: str) -> tuple[int, Json]:
    """A refusal as Kubernetes writes it."""
    return code, {"kind": "Status", "code": code, "reason": reason, "message": message}


def right_for(request: Request) -> tuple[str, str]:
    """The verb and resource that a role must have for a request."""
    group, _, inside = request.path.partition("/namespaces/")
    _, *parts = inside.split("/") if inside else ("", group.rpartition("/")[2])
    name = parts[1] if len(parts) > 1 else None
    by_method = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
    return "watch" if request.query.get("watch") else by_method[request.method], "/".join([parts[0], *parts[2:]])


def forbidden(verb: str, resource: str) -> tuple[int, Json]:
    """The refusal of a user who has not the right."""
    return status(403, "Forbidden", f'User "u" cannot {verb} resource "{resource}" in the namespace "team-a"')


@dataclass
class FakeApi:
    """What it answers: jobs and pods by name, and for each path a function if a test gives one."""

    url: str = ""
    jobs: dict[str, Json] = field(default_factory=dict)
    pods: dict[str, Json] = field(default_factory=dict)
    answers: dict[tuple[str, str], Callable[[Request], Any]] = field(default_factory=dict)
    """By method and path; `("WATCH", path)` for a watch, which yields events or raises Break."""
    requests: list[Request] = field(default_factory=list)
    rights: set[tuple[str, str]] | None = None
    """Verb and resource of all that the user may do, such as ("get", "pods/log"); None where that is everything."""
    version: int = 0

    def job(self, name: str, spec: Json | None = None, **status: Any) -> Json:
        """Put a job there, or change its status."""
        self.version += 1
        before = self.jobs.get(name, {"metadata": {"uid": f"uid-{name}", "creationTimestamp": "2026-11-28T10:00:00Z"}})
        metadata = {**before["metadata"], "name": name, "namespace": "team-a", "resourceVersion": str(self.version)}
        self.jobs[name] = {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": metadata,
            "spec": spec or before.get("spec", {}),
            "status": status or before.get("status", {}),
        }
        return self.jobs[name]

    def made_anew(self, name: str) -> None:
        """Put another job there under the same name."""
        del self.jobs[name]
        self.job(name)["metadata"]["uid"] = f"another-{name}"

    def listed(self, name: str = "") -> Json:
        """The list of all jobs, or of the one of that name."""
        return self._list([job for each, job in self.jobs.items() if name in ("", each)])

    def pod(self, name: str, phase: str, state: Json, **labels: str) -> None:
        """Put a training pod of the job `job` there, or change it."""
        known = {"finetune.dev/job-uid": "uid-job", "app.kubernetes.io/component": "trainer", **labels}
        created = f"2026-11-28T10:00:{len(self.pods):02d}Z"
        metadata = self.pods.get(name, {}).get("metadata") or {
            "name": name,
            "labels": known,
            "creationTimestamp": created,
        }
        containers = [{"name": "trainer", "state": state}]
        self.pods[name] = {"metadata": metadata, "status": {"phase": phase, "containerStatuses": containers}}

    def answer(self, request: Request) -> Any:
        method = "WATCH" if request.query.get("watch") else request.method
        scripted = self.answers.get((method, request.path))
        if scripted is not None:
            return scripted(request)
        if request.path.startswith("/api/v1/namespaces/") and request.path.count("/") == 4:
            if self.rights is not None:
                return status(403, "Forbidden", "namespaces is forbidden")
            there = request.path.endswith("/team-a")
            return (200, {"metadata": {"name": "team-a"}}) if there else status(404, "NotFound", "namespaces not found")
        if self.rights is not None and (right := right_for(request)) not in self.rights:
            return forbidden(*right)
        folder, _, name = request.path.rpartition("/")
        if method == "WATCH":
            return iter(())
        if request.path in (FTJ, "/apis/finetune.dev/v1alpha1/finetunejobs") and method == "GET":
            chosen = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
            return 200, self.listed(chosen)
        if request.path == FTJ and method == "POST":
            return 201, self.job(request.body["metadata"]["name"], request.body["spec"])
        if request.path == PODS:
            return 200, self._list([*self.pods.values()])
        if folder == FTJ and name in self.jobs:
            return self._one(method, name, request)
        if request.path.endswith("/events"):
            return 200, self._list([])
        return status(404, "NotFound", f'finetunejobs.finetune.dev "{name}" not found')

    def _one(self, method: str, name: str, request: Request) -> tuple[int, Json]:
        there = self.jobs[name]["metadata"]["uid"]
        meant = (request.body.get("preconditions") or request.body.get("metadata") or {}).get("uid", there)
        if meant != there:
            why = f"Precondition failed: UID in precondition: {meant}, UID in object meta: {there}"
            return status(409, "Conflict", f'Operation cannot be fulfilled on finetunejobs "{name}": {why}')
        if method == "DELETE":
            return 200, self.jobs.pop(name)
        if method == "PATCH":
            return 200, self.job(name, {**self.jobs[name]["spec"], **request.body["spec"]})
        return 200, self.jobs[name]

    def _list(self, items: list[Json]) -> Json:
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: what is on stderr is theirs."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve(api: FakeApi, folder: Path) -> Iterator[Path]:
    """Serve `api`, and yield a kubeconfig for it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer is written in two pieces, of which the second would wait 40 ms for a word about the first.
        disable_nagle_algorithm = True

        def respond(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            request = Request(self.command, parts.path, query, body, self.headers.get("Authorization", ""))
            api.requests.append(request)
            found = api.answer(request)
            if isinstance(found, tuple):
                self._send(*found)
            else:
                self._stream(found)

        do_GET = do_POST = do_PATCH = do_DELETE = respond  # noqa: N815

        def _send(self, code: int, answer: Any) -> None:
            text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _stream(self, parts: Iterator[Any]) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for part in parts:
                    data = part if isinstance(part, bytes) else json.dumps(part).encode() + b"\n"
                    self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
            except Break:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "here",
                "contexts": [
                    {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}},
                    {"name": "elsewhere", "context": {"cluster": "c", "user": "u", "namespace": "team-b"}},
                ],
                "clusters": [{"name": "c", "cluster": {"server": api.url, "certificate-authority-data": _CA}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    yield kubeconfig
    server.shutdown()
    server.server_close()
