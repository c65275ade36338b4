"""A node without a kubelet: the test writes what that would, so that pods of any age run and end without a process."""

import threading
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.space import Space
from urllib3.exceptions import HTTPError

from devcluster.testing.api import MERGE, Api, wait_for

_HEARTBEAT_SECONDS = 5.0
_CONTAINER = {"name": "trainer", "image": "x", "imageID": "", "restartCount": 0}


@dataclass(frozen=True)
class PlayedNode:
    """The node, for pods of one namespace whose `nodeSelector` is `selector`."""

    space: Space
    name: str

    @property
    def selector(self) -> dict[str, str]:
        return {"test": self.name}

    def pod_of(self, job: str, known: Collection[str] = ()) -> str:
        """The name of the job's pod on the node that is not among those that are known, once there is one."""

        def bound() -> str:
            pods = [
                each for each in self.space.list("pods", f"finetune.dev/job-name={job}") if each["spec"].get("nodeName")
            ]
            return next((name for each in pods if (name := str(each["metadata"]["name"])) not in known), "")

        return wait_for(bound, bool, f"a pod of {job} on the node")

    def run(self, pod: str, since: datetime | None = None) -> None:
        """The pod's container has run since then."""
        state = {"running": {"startedAt": stamp(since or datetime.now(UTC))}}
        containers = [{**_CONTAINER, "ready": True, "state": state}]
        self.write("pod", pod, {"phase": "Running", "conditions": [ready("True")], "containerStatuses": containers})

    def end(self, pod: str, code: int, since: datetime, until: datetime, message: str = "") -> None:
        """The pod's container has ended."""
        times = {"startedAt": stamp(since), "finishedAt": stamp(until)}
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message, **times}
        containers = [{**_CONTAINER, "ready": False, "state": {"terminated": ended, "running": None}}]
        phase = "Failed" if code else "Succeeded"
        self.write("pod", pod, {"phase": phase, "conditions": [ready("False")], "containerStatuses": containers})

    def carry_out(self, job: str) -> None:
        """Have the job's pod run for a minute that is over, and end well."""
        pod, now = self.pod_of(job), datetime.now(UTC)
        self.run(pod, now - timedelta(minutes=1))
        self.end(pod, 0, now - timedelta(minutes=1), now)

    def write(self, kind: str, name: str, status: dict[str, Any]) -> None:
        """Write a status as a kubelet, or the node lifecycle controller, does: by a strategic merge patch."""
        self.space.patch_status(kind, name, status)


@contextmanager
def played_node(space: Space) -> Iterator[PlayedNode]:
    """A node that nobody runs, with a label of its name, room for pods and 64 GPUs."""
    name = f"away-{uuid.uuid4().hex[:8]}"
    space.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"test": name}}})
    node = PlayedNode(space, name)
    room = {"cpu": "64", "memory": "512Gi", "pods": "10", "nvidia.com/gpu": "64"}
    over = threading.Event()

    def live() -> None:
        """As a kubelet does: without that the node would be tainted within a minute."""
        api, path = Api(space.cluster.kubeconfig), f"/api/v1/nodes/{name}/status"
        while not over.is_set():
            healthy = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
            healthy["lastHeartbeatTime"] = stamp(datetime.now(UTC))
            status = {"capacity": room, "allocatable": room, "conditions": [healthy]}
            with suppress(HTTPError):  # busy: the next one tells
                answer = api("PATCH", path, {"status": status}, MERGE)
                if answer.code == 404:  # a test that takes the node away
                    return
                assert answer.code in (200, 409, 429) or answer.code >= 500, answer.body
            over.wait(_HEARTBEAT_SECONDS)

    alive = threading.Thread(target=live, daemon=True)
    alive.start()
    try:
        yield node
    finally:
        over.set()
        alive.join()
        space.kubectl("delete", "node", name, "--ignore-not-found")


def ready(status: str) -> dict[str, Any]:
    """The condition Ready of a pod."""
    return {"type": "Ready", "status": status, "lastTransitionTime": stamp(datetime.now(UTC))}


def stamp(moment: datetime) -> str:
    """A time as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
