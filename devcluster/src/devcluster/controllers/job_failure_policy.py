"""A Job's `podFailurePolicy`: which rule a failed pod matches."""

from dataclasses import dataclass

from devcluster.client import Object
from devcluster.controllers.job_pods import phase_of


@dataclass(frozen=True)
class Match:
    """The first rule that a failed pod matches. `action` is FailJob, Ignore or Count."""

    action: str
    message: str


def match(job: Object, pod: Object) -> Match | None:
    """Return the rule that a pod of this Job matches; None if there is none or the pod has not failed."""
    if phase_of(pod) != "Failed":
        return None
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or []):
        what = _exit_code(rule["onExitCodes"], pod) if rule.get("onExitCodes") else None
        what = what or _condition(rule.get("onPodConditions") or [], pod)
        if what:
            return Match(rule["action"], f"{what} matching {rule['action']} rule at index {number}")
    return None


def _exit_code(requirement: Object, pod: Object) -> str | None:
    status = pod["status"]
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        terminated = (container.get("state") or {}).get("terminated")
        if not terminated or terminated["exitCode"] == 0:
            continue
        if requirement.get("containerName") not in (None, container["name"]):
            continue
        code = terminated["exitCode"]
        if (code in requirement["values"]) == (requirement["operator"] == "In"):
            metadata = pod["metadata"]
            where = f"{metadata['namespace']}/{metadata['name']}"
            return f"Container {container['name']} for pod {where} failed with exit code {code}"
    return None


def _condition(patterns: list[Object], pod: Object) -> str | None:
    for condition in pod["status"].get("conditions") or []:
        for pattern in patterns:
            if (condition["type"], condition["status"]) == (pattern["type"], pattern.get("status", "True")):
                metadata = pod["metadata"]
                return f"Pod {metadata['namespace']}/{metadata['name']} has condition {condition['type']}"
    return None
