"""The endpoints of Google Cloud Storage's JSON API that gcsfs asks for, with one bucket in memory."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "models"
_OBJECT = re.compile(r"/(?:download/)?storage/v1/b/([^/]+)/o(?:/([^/]+))?(?:/rewriteTo/b/([^/]+)/o/([^/]+))?")


class GcsServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.forbidden: set[str] = set()
        """Methods of HTTP that are answered with 403."""
        self.deleted_before: set[str] = set()
        """Names that another client deletes right before this one does."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: GcsServer

    def do_GET(self) -> None:
        bucket, name, *_ = self._named()
        if self._refused(bucket):
            return None
        if name is None:
            return self._list()
        if name not in self.server.files:
            return self._refuse(404, "No such object")
        if self._query("alt") == "media":
            return self._send(200, self.server.files[name], {"x-goog-hash": f"md5={_md5(self.server.files[name])}"})
        return self._json(self._about(name))

    def do_DELETE(self) -> None:
        bucket, name, *_ = self._named()
        if self._refused(bucket):
            return None
        if name in self.server.deleted_before:
            self.server.files.pop(name, None)
        if self.server.files.pop(str(name), None) is None:
            return self._refuse(404, "No such object")
        return self._send(204, b"")

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        bucket, source, _, target = self._named()
        if self._refused(bucket):
            return None
        if source and target:
            self.server.files[target] = self.server.files[source]
            return self._json({"done": True})
        # multipart/related: the metadata, then the file.
        boundary = re.search('boundary="(.+)"', self.headers["Content-Type"])
        assert boundary is not None
        parts = content.removesuffix(f"\n--{boundary[1]}--".encode()).split(f"--{boundary[1]}\n".encode(), 2)[1:]
        (_, about), (_, body) = (part.split(b"\n\n", 1) for part in parts)
        name = json.loads(about)["name"]
        if self._query("ifGenerationMatch") == "0" and name in self.server.files:
            return self._refuse(412, "At least one of the pre-conditions you specified did not hold.")
        self.server.files[name] = body
        return self._json(self._about(name))

    def _list(self) -> None:
        prefix, delimiter = self._query("prefix"), self._query("delimiter")
        names = [name for name in sorted(self.server.files) if name.startswith(prefix)]
        below = {name for name in names if delimiter and delimiter in name[len(prefix) :]}
        folders = {prefix + name[len(prefix) :].partition(delimiter)[0] + delimiter for name in below}
        self._json({"items": [self._about(name) for name in names if name not in below], "prefixes": sorted(folders)})

    def _about(self, name: str) -> dict[str, Any]:
        content = self.server.files[name]
        return {
            "kind": "storage#object", "bucket": BUCKET, "name": name, "size": str(len(content)),
            "md5Hash": _md5(content), "generation": "1", "updated": "2026-01-01T00:00:00Z",
        }  # fmt: skip

    def _named(self) -> tuple[str | None, ...]:
        """Bucket and object; and those to copy to."""
        found = _OBJECT.fullmatch(urlsplit(self.path).path.removeprefix("/upload"))
        return tuple(part and unquote(part) for part in found.groups()) if found else (None,) * 4

    def _query(self, name: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0]

    def _refused(self, bucket: str | None) -> bool:
        if bucket != BUCKET:
            self._refuse(404, "The specified bucket does not exist.")
        elif self.command in self.server.forbidden:
            self._refuse(403, "someone does not have storage.objects access.")
        else:
            return False
        return True

    def _refuse(self, status: int, message: str) -> None:
        self._json({"error": {"code": status, "message": message}}, status)

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
