"""What the browser is sent of a job, as JSON. Texts are printable already; the page shows them as text."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from pydantic import ValidationError

from finetune.comparison import compare
from finetune.logs import LogLine
from finetune.manifest import to_yaml
from finetune.snapshot import Snapshot
from finetune.summary import best, loss_line, needs_a_person, why
from finetune_api.base import JsonObject
from finetune_api.curves import Curve
from finetune_api.printable import printable
from finetune_api.profile import ProfileSettings
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_api.values import format_time

SPARK_POINTS: Final = 24
"""Of the loss in a row of the list."""
LONGEST_LINE: Final = 4096
"""Characters of a line of the log."""
_KEPT_METADATA: Final = ("name", "namespace", "labels", "annotations")
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def row(job: Snapshot) -> JsonObject:
    """Return a job's row in the list."""
    status = job.status
    progress = status.progress
    usage = status.usage
    resources = job.spec.get("resources")
    return {
        "namespace": job.namespace,
        "name": job.name,
        "uid": job.uid,
        "phase": job.phase,
        "deleting": job.deleting,
        "created": format_time(job.created),
        "urgent": needs_a_person(job),
        "percent": progress.percent if progress else None,
        "etaSeconds": progress.eta_seconds if progress and not job.ended else None,
        "loss": loss_line(job, SPARK_POINTS),
        "best": best(job),
        "why": why(job),
        "gpuSeconds": usage.gpu_seconds.total if usage else 0,
        "gpus": _gpus(resources if isinstance(resources, dict) else {}),
        "budget": _budget(job),
        "month": {"month": usage.month.month, "gpuSeconds": usage.month.gpu_seconds} if usage and usage.month else None,
    }


def _gpus(resources: JsonObject) -> int:
    """How many GPUs it holds while it runs, and waits for before."""
    each, nodes = resources.get("gpus", 1), resources.get("nodes", 1)
    return each * nodes if isinstance(each, int) and isinstance(nodes, int) else 0


def _budget(job: Snapshot) -> JsonObject | None:
    """What the namespace may use in a month by the job's profile (null: as much as it likes), and has used, where its status says so."""
    waiting, profile = job.status.waiting, job.status.profile
    if waiting is not None and waiting.budget is not None:
        found = waiting.budget
        return {"profile": found.profile, "allowed": found.allowed_gpu_seconds, "used": found.used_gpu_seconds}
    return {"profile": profile.name, "allowed": _allowed(profile.settings)} if profile else None


@lru_cache(maxsize=64)
def _allowed(settings: str) -> int | None:
    """The budget among the settings that jobs of a profile keep: many jobs have the same."""
    try:
        return ProfileSettings.model_validate_json(settings).limits.gpu_seconds_per_namespace
    except ValidationError:
        return None


def budgets(profiles: Sequence[JsonObject]) -> JsonObject:
    """Return the budget of each profile as it is now; null where it sets none."""
    found: JsonObject = {}
    for raw in profiles:
        spec = raw.get("spec")
        limits = spec.get("limits") if isinstance(spec, dict) else None
        given = limits.get("gpuSecondsPerNamespace") if isinstance(limits, dict) else None
        found[printable(str(raw["metadata"]["name"]))] = given if isinstance(given, int) else None
    return found


def log_line(line: LogLine) -> JsonObject:
    """Return a line of the log."""
    cut = len(line.text) - LONGEST_LINE
    text = f"{line.text[:LONGEST_LINE]} … and {cut} characters more" if cut > 0 else line.text
    return {"text": text, "pod": line.pod, "time": line.time}


def detail(job: Snapshot) -> JsonObject:
    """Return all that a job's page shows."""
    status = job.status.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"curves": True, "profile": {"proof"}}
    )
    return {
        "row": row(job),
        "suspended": bool(job.spec.get("suspend")),
        "message": job.status.message or "",
        "status": status,
        "curves": curves(job),
        "manifest": manifest(job),
    }


def curves(job: Snapshot) -> JsonObject:
    """Return the history as numbers: of each part its steps, and the values of each series by name, null where none was measured."""
    held = job.status.curves
    if held is None:
        return {}
    found: JsonObject = {
        name: _series(curve) for name, curve in (("training", held.training), ("evaluation", held.evaluation)) if curve
    }
    return found | ({"stepsPerEpoch": float(held.steps_per_epoch)} if held.steps_per_epoch else {})


def _series(curve: Curve) -> JsonObject:
    return {
        "steps": list(curve.at),
        "series": {name: [None if math.isnan(each) else each for each in curve.values(name)] for name in curve.names},
    }


def comparison_of(jobs: Sequence[Snapshot]) -> JsonObject:
    """Return settings that differ, metrics with the best of each row, cost and curves; values in the order of `runs`."""
    compared = compare(jobs)
    return {
        "runs": [
            {"name": name, "row": row(job), "curves": curves(job)}
            for name, job in zip(compared.names, jobs, strict=True)
        ],
        **{
            part: [
                {"name": printable(each.name), "values": list(each.values), "best": list(each.best)} for each in rows
            ]
            for part, rows in (("settings", compared.settings), ("metrics", compared.metrics), ("cost", compared.cost))
        },
    }


def manifest(job: Snapshot) -> str:
    """Return YAML that applies the job's spec again, as it is now."""
    metadata = {name: _readable(job, name) for name in _KEPT_METADATA}
    text = to_yaml(
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {name: value for name, value in metadata.items() if value},
            "spec": {name: value for name, value in job.spec.items() if name != "runToken"},
        }
    )
    return printable(text, lines=True)


def _readable(job: Snapshot, name: str) -> object:
    metadata = job.raw.get("metadata")
    value = metadata.get(name) if isinstance(metadata, dict) else None
    return {key: each for key, each in value.items() if key != _APPLIED} if isinstance(value, dict) else value
