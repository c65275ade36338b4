"""A namespace of the cluster under test, as a test works in it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kubernetes.client import CustomObjectsApi
from kubernetes.config import new_client_from_config

from devcluster.cluster import Cluster
from devcluster.testing.api import wait_for
from devcluster.testing.kinds import Kinds
from devcluster.testing.kubectl import run_kubectl
from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION


@dataclass(frozen=True)
class Space:
    """A namespace, and kubectl in it."""

    cluster: Cluster
    namespace: str

    def create(self) -> None:
        """Make the namespace, under Pod Security's strictest level, and wait until pods can be made in it."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": self.namespace, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        wait_for(lambda: self.get("serviceaccount", "default"), bool, "the default service account")

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """What kubectl prints, errors included; it fails the test on a non-zero exit unless `check=False`."""
        done = run_kubectl(self.cluster.kubeconfig, f"--namespace={self.namespace}", *arguments, stdin=stdin)
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, manifests)))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object, or {} if there is none. Not by kubectl, a start of which takes a tenth of a second of a core: it is asked again and again."""
        return Kinds.of(self.cluster.kubeconfig).get(kind, self.namespace, name)

    def list(self, kinds: str, selector: str = "") -> list[dict[str, Any]]:
        """The objects of one kind or several, such as "jobs,pods"."""
        known = Kinds.of(self.cluster.kubeconfig)
        return [each for kind in kinds.split(",") for each in known.list(kind, self.namespace, selector)]

    def events(self, name: str, *reasons: str) -> dict[str, str]:
        """The messages of a job's Events by their reasons, once these are there: an Event may come after the status that it is about."""

        def found() -> dict[str, str]:
            mine = [each for each in self.list("events") if each["involvedObject"]["name"] == name]
            return {each["reason"]: each["message"] for each in mine}

        return wait_for(found, lambda events: events.keys() >= {*reasons}, f"Events of {name}: {', '.join(reasons)}")

    def patch_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        """Patch a status by a strategic merge patch."""
        Kinds.of(self.cluster.kubeconfig).patch_status(kind, self.namespace, name, status)

    def patch(self, name: str, spec: dict[str, Any]) -> None:
        self.kubectl("patch", "ftj", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def status(self, name: str) -> dict[str, Any]:
        """The status, or {} if there is none. Not by kubectl: it is asked for again and again."""
        found = _objects(self.cluster.kubeconfig).get_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, name
        )
        status: dict[str, Any] = found.get("status", {})
        return status

    def until(self, name: str, reached: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """The first status that is as wanted."""
        return wait_for(lambda: self.status(name), reached, f"{name}: {what}")

    def end_of(self, name: str) -> dict[str, Any]:
        """The status at the end of the job, good or bad."""
        return self.until(name, lambda status: status.get("phase") in ("Succeeded", "Failed"), "an end")


@cache
def _objects(kubeconfig: Path) -> CustomObjectsApi:
    return CustomObjectsApi(new_client_from_config(str(kubeconfig)))
