"""An S3 server that checks keys, and something in front of it that fails when told to."""

import json
import socket
import socketserver
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import requests

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer

BUCKET = "models"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True)
class S3:
    """A server with one bucket and one user."""

    url: str
    """Through the proxy."""
    key: str
    secret: str
    proxy: "Proxy"
    client: Any
    """boto3's, past the proxy."""

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
        }

    def names(self, below: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=below)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, name: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        return content

    def write(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=name, Body=content)

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=name)


class Proxy(socketserver.ThreadingTCPServer):
    """Passes bytes on to `target`, until it is told to be down, to die in mid-upload, or to answer by itself."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.target = target
        self.uploaded = 0
        """Bytes from clients so far."""
        self._lives_until: float = float("inf")
        self._answer: tuple[bytes, bytes] | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def work(self) -> None:
        """From now on everything works."""
        self._set(float("inf"), None)

    def die(self, after: int = 0) -> None:
        """Cut all connections once so many more bytes were sent by clients, and take none after."""
        self._set(self.uploaded + after, None)

    def answer(self, status: str, body: str = "") -> None:
        """Answer every request so, such as `503 Slow Down`."""
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nContent-Type: application/xml\r\n"
        self._set(float("inf"), (f"{head}Connection: close\r\n\r\n".encode(), body.encode()))

    @property
    def canned(self) -> tuple[bytes, bytes] | None:
        """Head and body."""
        return self._answer

    @property
    def is_dead(self) -> bool:
        return self.uploaded >= self._lives_until

    def opened(self, *sockets: socket.socket) -> None:
        with self._lock:
            self._open.update(sockets)

    def count(self, size: int) -> bool:
        """Whether these bytes still go through."""
        with self._lock:
            self.uploaded += size
        if self.is_dead:
            self.cut()
        return not self.is_dead

    def cut(self) -> None:
        with self._lock:
            sockets, self._open = self._open, set()
        for connection in sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _set(self, lives_until: float, answer: tuple[bytes, bytes] | None) -> None:
        self._lives_until, self._answer = lives_until, answer
        self.cut()


class _Connection(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        if self.server.is_dead:
            return
        if self.server.canned is not None:
            head, body = self.server.canned
            method = self._read_request()
            self.request.sendall(head if method == b"HEAD" else head + body)
            return
        with socket.create_connection(("127.0.0.1", self.server.target)) as upstream:
            self.server.opened(self.request, upstream)
            back = threading.Thread(target=self._pass_back, args=(upstream,), daemon=True)
            back.start()
            with suppress(OSError):
                while (content := self.request.recv(65536)) and self.server.count(len(content)):
                    upstream.sendall(content)
            with suppress(OSError):
                upstream.shutdown(socket.SHUT_RDWR)
            back.join()

    def _pass_back(self, upstream: socket.socket) -> None:
        with suppress(OSError):
            while content := upstream.recv(65536):
                self.request.sendall(content)
            self.request.shutdown(socket.SHUT_RDWR)

    def _read_request(self) -> bytes:
        """Its method."""
        got = b""
        while b"\r\n\r\n" not in got and (content := self.request.recv(65536)):
            got += content
        head, _, body = got.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        waits = headers.get(b"expect") == b"100-continue"
        left = 0 if waits else int(headers.get(b"content-length", 0)) - len(body)
        while left > 0 and (content := self.request.recv(65536)):
            left -= len(content)
        return head.partition(b" ")[0]


def start() -> tuple[S3, "ThreadedMotoServer"]:
    """A server in this process. Every request must be signed by its user, or by another that IAM knows."""
    # Here, since many tests import what this file says of the server and few start it.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    direct = f"http://127.0.0.1:{port}"
    nobody = {"endpoint_url": direct, "region_name": "us-east-1"}
    iam = boto3.client("iam", aws_access_key_id="x", aws_secret_access_key="x", **nobody)
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    user = _user(iam, "trainer", [allowed])
    client = boto3.client("s3", aws_access_key_id=user[0], aws_secret_access_key=user[1], **nobody)
    client.create_bucket(Bucket=BUCKET)
    requests.post(f"{direct}/moto-api/reset-auth", data="0", timeout=5)
    proxy = Proxy(port)
    return S3(f"http://127.0.0.1:{proxy.server_address[1]}", *user, proxy, client), server


def _user(iam: Any, name: str, statements: list[dict[str, Any]]) -> tuple[str, str]:
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]
