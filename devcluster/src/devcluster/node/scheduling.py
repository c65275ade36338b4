"""Which node a pod fits on: the filters of kube-scheduler that matter on a cluster without taints and affinity."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

from devcluster.client import Object

Resources = dict[str, Decimal]
"""Quantities by resource name, in the resource's base unit: cores, bytes, devices."""


def quantities(amounts: Mapping[str, object]) -> Resources:
    """Parse a ResourceList.

    Raises:
        ValueError: an amount is not a quantity.
    """
    return {name: parse_quantity(amount) for name, amount in amounts.items()}  # type: ignore[no-untyped-call]


def pod_requests(pod: Object) -> Resources:
    """Return the resources that a pod requests: the sum over its containers, or the largest of its init containers.

    A limit is the default of its request, as in the API server.
    """
    spec = pod["spec"]
    total: Resources = {"pods": Decimal(1)}
    for container in spec.get("containers", []):
        for name, amount in _container_requests(container).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in spec.get("initContainers", []):
        for name, amount in _container_requests(container).items():
            total[name] = max(total.get(name, Decimal(0)), amount)
    return total


def _container_requests(container: Object) -> Resources:
    resources = container.get("resources") or {}
    return quantities({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def is_terminal(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_schedulable(pod: Object) -> bool:
    """Return whether the pod waits to be bound by the default scheduler."""
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and spec.get("schedulerName", "default-scheduler") == "default-scheduler"
        and not pod["metadata"].get("deletionTimestamp")
        and not is_terminal(pod)
    )


@dataclass(frozen=True)
class Placement:
    """The node to bind to, or why there is none in kube-scheduler's words."""

    node: str | None
    message: str = ""


def place(pod: Object, nodes: Iterable[Object], pods: Iterable[Object], claims: Mapping[str, Object]) -> Placement:
    """Choose a node for a pod.

    Args:
        pod: the pod that has no node yet.
        nodes: all Nodes of the cluster.
        pods: all Pods of the cluster; those that are bound and not finished use resources.
        claims: PersistentVolumeClaims of the pod's namespace by name.
    """
    candidates = list(nodes)
    if not candidates:
        return Placement(None, "no nodes available to schedule pods")
    refusal = f"0/{len(candidates)} nodes are available: "
    if problem := _claim_problem(pod, claims):
        return Placement(None, f"{refusal}{problem}.")
    running = [other for other in pods if not is_terminal(other)]
    problems: Counter[str] = Counter()
    for node in candidates:
        on_node = (other for other in running if other["spec"].get("nodeName") == node["metadata"]["name"])
        reasons = _node_problems(pod, node, on_node)
        if not reasons:
            return Placement(node["metadata"]["name"])
        problems.update(reasons)
    counted = ", ".join(sorted(f"{count} {reason}" for reason, count in problems.items()))
    return Placement(None, f"{refusal}{counted}.")


def _claim_problem(pod: Object, claims: Mapping[str, Object]) -> str | None:
    for volume in pod["spec"].get("volumes") or []:
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if name is None:
            continue
        if name not in claims:
            return f'persistentvolumeclaim "{name}" not found'
        if (claims[name].get("status") or {}).get("phase") != "Bound":
            return "pod has unbound immediate PersistentVolumeClaims"
    return None


def _node_problems(pod: Object, node: Object, on_node: Iterable[Object]) -> list[str]:
    if (node.get("spec") or {}).get("unschedulable") or not _is_ready(node):
        return ["node(s) were unschedulable"]
    labels = node["metadata"].get("labels") or {}
    selector = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return ["node(s) didn't match Pod's node affinity/selector"]
    free = quantities((node.get("status") or {}).get("allocatable") or {})
    for other in on_node:
        for name, amount in pod_requests(other).items():
            free[name] = free.get(name, Decimal(0)) - amount
    wanted = pod_requests(pod)
    short = sorted(name for name, amount in wanted.items() if amount > max(free.get(name, Decimal(0)), Decimal(0)))
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in short]


def _is_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
