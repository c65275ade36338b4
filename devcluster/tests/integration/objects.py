"""Objects of one namespace, read and written by kubectl, and the objects that tests create."""

import json
from collections.abc import Callable
from typing import Any

from devcluster.testing.api import PATIENCE, wait_for
from devcluster.testing.plugin import Kubectl

SETTLED: dict[str, Any] = {"ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}
"""The counts of a Job's status when none of its pods runs or is still to be counted."""


class Objects:
    """Objects of one namespace by kubectl."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self.run, self.namespace = kubectl, namespace

    def apply(self, obj: dict[str, Any]) -> None:
        self.run("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(obj))

    def patch(self, resource: str, patch: dict[str, Any]) -> None:
        self.run("patch", resource, "-n", self.namespace, "--type=merge", f"--patch={json.dumps(patch)}")

    def get(self, resource: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("get", resource, "-n", self.namespace, "-o", "json").stdout)
        return found

    def exists(self, resource: str) -> bool:
        return self.run("get", resource, "-n", self.namespace, check=False).returncode == 0

    def pods(self, job: str) -> list[dict[str, Any]]:
        selector = f"--selector=batch.kubernetes.io/job-name={job}"
        listed = self.run("get", "pods", selector, "-n", self.namespace, "-o", "json").stdout
        items: list[dict[str, Any]] = json.loads(listed)["items"]
        return items

    def reasons(self, name: str) -> list[str]:
        """Reasons of the Events about an object, sorted."""
        selector = f"--field-selector=involvedObject.name={name}"
        events = json.loads(self.run("get", "events", selector, "-n", self.namespace, "-o", "json").stdout)["items"]
        return sorted(event["reason"] for event in events)

    def until(self, resource: str, reached: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        return wait_for(lambda: self.get(resource), reached, resource)

    def finished(self, job: str) -> dict[str, Any]:
        """The Job once it is complete or failed."""
        return self.until(f"job/{job}", lambda found: {"Complete", "Failed"} & true_conditions(found).keys())

    def running(self, job: str) -> dict[str, Any]:
        return self.until(f"job/{job}", lambda found: found.get("status", {}).get("ready"))

    def gone(self, resource: str) -> None:
        self.run("wait", "--for=delete", resource, "-n", self.namespace, f"--timeout={PATIENCE:g}s")


def job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": "example/any:1", "command": ["sh", "-c", script]}],
    }
    whole = {"backoffLimit": 0, **spec, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": whole}


def true_conditions(obj: dict[str, Any]) -> dict[str, str]:
    """Reasons of the conditions that are True, by type."""
    conditions = obj.get("status", {}).get("conditions") or []
    return {item["type"]: item["reason"] for item in conditions if item["status"] == "True"}


def counts(job: dict[str, Any]) -> dict[str, Any]:
    """The status without times and conditions."""
    return {
        key: value for key, value in job["status"].items() if key not in ("startTime", "completionTime", "conditions")
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def unschedulable_pod(**spec: Any) -> dict[str, Any]:
    """A pod that no node accepts."""
    containers = [{"name": "c", "image": "x:1", "resources": {"limits": {"cpu": 1, "nvidia.com/gpu": 1}}}]
    held = {"nodeSelector": {"no": "where"}, "automountServiceAccountToken": False, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {**held, **spec}}
