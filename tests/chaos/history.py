"""Everything that the API server showed of a namespace's jobs and their children, and what of it must never be."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

from urllib3.exceptions import HTTPError

from devcluster.testing.api import Api, ApiError, wait_for

JOB_API = "/apis/finetune.dev/v1alpha1/namespaces/{namespace}/finetunejobs"
CHILDREN = {
    "jobs": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "configmaps": "/api/v1/namespaces/{namespace}/configmaps",
    "services": "/api/v1/namespaces/{namespace}/services",
    "persistentvolumeclaims": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "networkpolicies": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "secrets": "/api/v1/namespaces/{namespace}/secrets",
}
LABEL = "finetune.dev/job-uid"
_ENDS = ("Succeeded", "Failed")


@dataclass
class History:
    """Watches until `stop`. Versions of a job by its uid, in their order; children by kind and the job's uid."""

    api: Api
    namespace: str
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    made: dict[str, dict[str, set[tuple[str, str]]]] = field(default_factory=dict)
    """(name, uid) of every child that ever was, by the job's uid and the child's kind."""
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Watch FineTuneJobs and Jobs, each in a thread of its own."""
        watched = {"finetunejobs": JOB_API, **CHILDREN}
        for kind, path in watched.items():
            where = path.format(namespace=self.namespace)
            # A real API server serves a new kind a moment after it has said so.
            listed = wait_for(partial(self.api, "GET", where), lambda answer: answer.code == 200, f"a list of {kind}")
            version = listed.body["metadata"]["resourceVersion"]
            threading.Thread(target=self._watch, args=(kind, where, version), daemon=True).start()

    def stop(self) -> None:
        """Take in nothing more; the threads end with their watches."""
        self._stopping.set()

    def _watch(self, kind: str, path: str, version: str) -> None:
        while not self._stopping.is_set():
            try:
                for change, raw in self.api.watch(path, f"resourceVersion={version}", seconds=20):
                    if change == "ERROR":
                        version = self.api("GET", path).object()["metadata"]["resourceVersion"]
                        break
                    version = raw["metadata"]["resourceVersion"]
                    self._take(kind, raw)
            except (HTTPError, OSError, ApiError, ValueError):
                # The API server or the kind is away, as tests have it be, or a line ended half way.
                self._stopping.wait(0.5)

    def _take(self, kind: str, raw: dict[str, Any]) -> None:
        metadata = raw["metadata"]
        if kind == "finetunejobs":
            self.versions.setdefault(metadata["uid"], []).append(raw)
            return
        job = metadata.get("labels", {}).get(LABEL)
        if job:
            found = self.made.setdefault(job, {}).setdefault(kind, set())
            found.add((metadata["name"], metadata["uid"]))

    def violations(self, *, replaced: bool = False) -> list[str]:
        """What must never be, and was. `replaced`: somebody else deleted children, so that they had to be made again."""
        found = []
        for uid, versions in list(self.versions.items()):
            name = versions[-1]["metadata"]["name"]
            found += [f"{name}: {what}" for what in _of_statuses([each.get("status") or {} for each in versions])]
            if not replaced:
                found += [f"{name}: {what}" for what in _made_twice(self.made.get(uid, {}))]
        return found


def _of_statuses(statuses: list[dict[str, Any]]) -> Iterator[str]:
    for before, after in pairwise(statuses):
        if before.get("phase") in _ENDS and after.get("phase") != before["phase"]:
            yield f"ended {before['phase']}, then {after.get('phase')}"
        if before.get("phase") in _ENDS and after.get("completionTime") != before.get("completionTime"):
            yield "another completionTime"
        yield from _of_attempts(before.get("attempts", []), after.get("attempts", []))
        steps = [(each.get("latestCheckpoint") or {}).get("step", 0) for each in (before, after)]
        if steps[1] < steps[0]:
            yield f"the newest checkpoint went from step {steps[0]} back to {steps[1]}"
    yield from _of_progress(statuses)


def _of_progress(statuses: list[dict[str, Any]]) -> Iterator[str]:
    number, most = 0, 0
    for status in statuses:
        newest = max((each["number"] for each in status.get("attempts", [])), default=0)
        if newest != number:
            number, most = newest, 0
        if status.get("phase") != "Running":
            continue  # Until an attempt reports, its job shows how far the one before it came.
        step = (status.get("progress") or {}).get("step", 0)
        if step < most:
            yield f"within attempt {number} progress went from step {most} back to {step}"
        most = max(most, step)


def _of_attempts(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    now = {each["number"]: each for each in after}
    for each in before:
        kept = now.get(each["number"])
        if kept is None:
            yield f"attempt {each['number']} is gone"
        elif kept["pod"] != each["pod"]:
            yield f"attempt {each['number']} was {each['pod']}, and is {kept['pod']}"
        elif each.get("endTime") and kept.get("endTime") != each["endTime"]:
            yield f"attempt {each['number']} ended at {each['endTime']}, and at {kept.get('endTime')}"


def _made_twice(children: dict[str, set[tuple[str, str]]]) -> Iterator[str]:
    # Watches go on, and add to them.
    for kind, found in list(children.items()):
        names = [name for name, _ in list(found)]
        for name in {each for each in names if names.count(each) > 1}:
            yield f"{kind} {name} was made {names.count(name)} times"
