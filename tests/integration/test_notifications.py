"""Whoever spec.notify names is told that a run has ended, over every outage. A node without a kubelet is played by the test."""

import base64
import hashlib
import hmac
import json
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, finetunejob
from tests.integration.played_node import PlayedNode, played_node
from tests.integration.release import NAME, Release
from tests.integration.space import Space

from devcluster.cluster import Cluster
from devcluster.testing.api import wait_for

KEY = b"the key of this very namespace"
CLOSED = "notify-closed"


@dataclass
class Receiver:
    """A web server on the loopback. What it takes is verified as a receiver should."""

    url: str = ""
    status: dict[str, int] = field(default_factory=dict)
    """What it answers, by path; 204 if it is not here."""
    asked: list[str] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def take(self, path: str, headers: Any, body: bytes) -> int:
        self.asked.append(path)
        status = self.status.get(path, 204)
        if status != 204:
            return status
        if path.startswith("/slack"):
            self.said.append(json.loads(body)["text"])
            return 200
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        event = json.loads(body)
        assert headers["Content-Type"].startswith("application/cloudevents+json")
        if not hmac.compare_digest(headers["webhook-signature"], expected) or event["id"] != headers["webhook-id"]:
            return 401
        self.taken.append(event)
        return status


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = made.take(self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{made.url}/led-to")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with listening(Handler) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def node(operator_process: OperatorProcess, finetune_crd: Cluster) -> Iterator[PlayedNode]:
    """A namespace, and a node for its pods."""
    space = Space(finetune_crd, f"notify-{uuid.uuid4().hex[:8]}")
    space.create()
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    closed = {"notify": {"privateHosts": []}, "allow": {"nodeSelectorKeys": ["*"]}}
    space.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "seed"}, "spec": claim},
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneProfile",
            "metadata": {"name": CLOSED},
            "spec": closed,
        },
    )
    with played_node(space) as made:
        yield made
    space.kubectl("delete", "ftp", CLOSED, "--ignore-not-found")
    space.kubectl("delete", "namespace", space.namespace, "--wait=false")


def give_secret(space: Space, receiver: Receiver) -> None:
    """The Secret that a namespace has for its notifications."""
    values = {"signing-key": f"whsec_{base64.b64encode(KEY).decode()}", "slack-url": f"{receiver.url}/slack/T0/token"}
    metadata = {"name": "finetune-notify"}
    space.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values})


def hook(name: str, url: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "webhook": {"url": url}, **more}


def begin(node: PlayedNode, name: str, notify: list[dict[str, Any]], **spec: Any) -> Callable[[int], None]:
    """Begin a job; what is returned ends its pod with an exit code."""
    node.space.apply(
        finetunejob(
            name,
            notify=notify,
            resources={"gpus": 1},
            runPolicy={"backoffLimit": 0},
            pod={"nodeSelector": node.selector},
            **spec,
        )
    )

    def end(code: int) -> None:
        pod, now = node.pod_of(name), datetime.now(UTC).replace(microsecond=0)
        node.run(pod, now - timedelta(seconds=5))
        node.end(pod, code, now - timedelta(seconds=5), now)

    return end


def told(space: Space, name: str, *states: str) -> list[dict[str, Any]]:
    """The notifications of a job once each has been tried and they have these states."""

    def reached(status: dict[str, Any]) -> bool:
        found = status.get("notifications", [])
        return [each["state"] for each in found] == [*states] and all(each["attempts"] for each in found)

    found: list[dict[str, Any]] = space.until(name, reached, f"notifications {states}")["notifications"]
    return found


@pytest.mark.slow
def test_a_webhook_and_a_channel_are_told_of_an_end_once_and_of_the_ends_that_they_want(
    node: PlayedNode, receiver: Receiver
) -> None:
    space = node.space
    give_secret(space, receiver)
    wanted = [
        hook("ci", f"{receiver.url}/ok"),
        {"name": "chat", "slack": {}},
        hook("pager", f"{receiver.url}/pager", phases=["Failed"]),
    ]

    begin(node, "well", wanted)(0)
    delivered = told(space, "well", "Delivered", "Delivered")
    begin(node, "badly", wanted)(1)
    told(space, "badly", "Delivered", "Delivered", "Delivered")

    uid = space.get("ftj", "well")["metadata"]["uid"]
    first, *others = receiver.taken
    assert [each["attempts"] for each in delivered] == [1, 1]
    assert (first["id"], first["subject"], first["type"]) == (
        f"{uid}-1-succeeded",
        "well",
        "dev.finetune.finetunejob.succeeded",
    )
    assert first["data"]["job"]["namespace"] == space.namespace
    assert {(each["subject"], each["type"]) for each in others} == {("badly", "dev.finetune.finetunejob.failed")}
    assert sorted(receiver.asked) == ["/ok", "/ok", "/pager", "/slack/T0/token", "/slack/T0/token"]
    assert receiver.said[0].startswith(f"`{space.namespace}/well` succeeded")
    assert "T0/token" not in json.dumps([space.get("ftj", "badly"), space.list("events")])


@pytest.mark.slow
def test_no_redirect_and_no_private_address_is_followed_and_the_status_says_so(
    node: PlayedNode, receiver: Receiver
) -> None:
    space = node.space
    give_secret(space, receiver)
    receiver.status["/moved"] = 307

    begin(node, "moved", [hook("ci", f"{receiver.url}/moved")])(0)
    begin(node, "private", [hook("ci", f"{receiver.url.replace('http:', 'https:')}/ok")], profile=CLOSED)(0)
    (moved,) = told(space, "moved", "Pending")
    (private,) = told(space, "private", "Pending")

    assert moved["message"].startswith("it answers 307 Temporary Redirect, and redirects are not followed")
    assert private["message"].startswith("its host is at an address that is not public")
    assert set(receiver.asked) == {"/moved"}


@pytest.mark.slow
def test_an_end_that_nobody_took_is_told_after_the_operator_was_killed(
    node: PlayedNode, receiver: Receiver, operator_process: OperatorProcess
) -> None:
    space = node.space
    give_secret(space, receiver)
    receiver.status["/ok"] = 503

    begin(node, "outage", [hook("ci", f"{receiver.url}/ok")])(0)
    (before,) = told(space, "outage", "Pending")
    operator_process.end(signal.SIGKILL)
    del receiver.status["/ok"]
    operator_process.start()
    (after,) = told(space, "outage", "Delivered")

    assert before["message"] == "it answers 503 Service Unavailable"
    assert after["attempts"] > before["attempts"]
    assert [each["subject"] for each in receiver.taken] == ["outage"]


@pytest.mark.slow
def test_a_run_that_ends_while_no_operator_runs_is_told_by_the_next(
    node: PlayedNode, receiver: Receiver, operator_process: OperatorProcess
) -> None:
    space = node.space
    give_secret(space, receiver)
    end = begin(node, "unseen", [hook("ci", f"{receiver.url}/ok")])
    node.pod_of("unseen")
    operator_process.end(signal.SIGKILL)

    end(0)
    operator_process.start()
    told(space, "unseen", "Delivered")

    assert [each["subject"] for each in receiver.taken] == ["unseen"]


def test_who_is_told_may_change_while_a_job_runs(node: PlayedNode, receiver: Receiver) -> None:
    space = node.space
    give_secret(space, receiver)
    end = begin(node, "changed", [])
    node.pod_of("changed")

    space.patch("changed", {"notify": [hook("late", f"{receiver.url}/ok")]})
    end(0)
    told(space, "changed", "Delivered")

    assert [each["subject"] for each in receiver.taken] == ["changed"]


@pytest.mark.usefixtures("enforced_rights")
def test_of_a_namespace_s_secrets_the_operator_may_read_this_one_and_list_none(
    node: PlayedNode, release: Release
) -> None:
    account = f"--as=system:serviceaccount:{release.home.namespace}:{NAME}"

    def may(verb: str, secret: str) -> bool:
        return node.space.kubectl("auth", "can-i", verb, secret, account, check=False).startswith("yes")

    wait_for(lambda: may("get", "secret/finetune-notify"), bool, "the right to read the Secret")
    asked = [("get", "secret/other"), ("list", "secrets"), ("watch", "secrets"), ("update", "secret/finetune-notify")]
    assert [each for each in asked if may(*each)] == []
