"""What a DELETE does to an object: gone at once, or marked and left to its finalizers, node or controller."""

import datetime
from dataclasses import dataclass

from devcluster.apiserver.errors import ApiError, bad_request, conflict
from devcluster.apiserver.objects import Object, clone, is_deleting, timestamp
from devcluster.apiserver.resources import Resource

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


@dataclass(frozen=True)
class DeleteOptions:
    """meta/v1 DeleteOptions; None where the client left the choice to the server."""

    grace_seconds: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


def read_options(body: Object, query: dict[str, str]) -> DeleteOptions:
    """Options from the body, or from the query where there is none."""
    preconditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    propagation = body.get("propagationPolicy", query.get("propagationPolicy"))
    if body.get("orphanDependents") is not None and propagation is None:
        propagation = "Orphan" if body["orphanDependents"] else "Background"
    if propagation not in (None, "Orphan", "Background", "Foreground"):
        raise bad_request(f"invalid propagationPolicy: {propagation}")
    return DeleteOptions(
        grace_seconds=None if grace is None else int(grace),
        propagation=propagation,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=bool(body.get("dryRun") or query.get("dryRun")),
    )


def check_preconditions(resource: Resource, obj: Object, options: DeleteOptions) -> None:
    """409 when the object is another one, or has moved on, since the client looked."""
    meta = obj["metadata"]
    for word, wanted, found in (
        ("UID", options.uid, meta["uid"]),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"]),
    ):
        if wanted is not None and wanted != found:
            why = (
                f"the {word} in the precondition ({wanted}) does not match the {word} in record ({found})."
                " The object might have been deleted and then recreated"
            )
            raise conflict(resource.kind, resource.group, meta["name"], why)


def marked(resource: Resource, obj: Object, options: DeleteOptions) -> Object | None:
    """The object with its deletion under way; None when nothing holds it and it goes at once."""
    obj = clone(obj)
    meta = obj["metadata"]
    finalizers = _finalizers(resource, meta.get("finalizers") or [], options)
    grace = _grace_seconds(resource, obj, options)
    held_by_spec = resource.kind == "Namespace" and (obj.get("spec") or {}).get("finalizers")
    if not finalizers and not grace and not held_by_spec:
        return None
    meta["finalizers"] = finalizers
    if not finalizers:
        del meta["finalizers"]
    if not is_deleting(obj):
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=grace)
        meta |= {"deletionTimestamp": timestamp(moment), "deletionGracePeriodSeconds": grace}
        if "generation" in meta:
            meta["generation"] += 1
    elif grace < meta.get("deletionGracePeriodSeconds", 0):
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=grace)
        meta |= {"deletionTimestamp": timestamp(moment), "deletionGracePeriodSeconds": grace}
    if resource.kind == "Namespace":
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        meta.pop("deletionGracePeriodSeconds", None)
    return obj


def may_go(obj: Object) -> bool:
    """True for an object whose deletion was asked for and that nothing holds any more."""
    meta = obj["metadata"]
    if not is_deleting(obj) or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return obj.get("kind") != "Namespace" or not (obj.get("spec") or {}).get("finalizers")


def default_warning(resource: Resource, options: DeleteOptions) -> str | None:
    """Jobs keep their pods unless told otherwise: batch/v1's default, of which Kubernetes warns."""
    if resource.kind != "Job" or resource.group != "batch" or options.propagation is not None:
        return None
    return (
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them"
        " or set propagationPolicy=Orphan to suppress this warning"
    )


def _finalizers(resource: Resource, present: list[str], options: DeleteOptions) -> list[str]:
    policy = options.propagation
    if policy is None and resource.kind == "Job" and resource.group == "batch" and FOREGROUND not in present:
        policy = "Orphan"
    if policy is None:
        return list(present)
    kept = [name for name in present if name not in (FOREGROUND, ORPHAN)]
    return kept + {"Foreground": [FOREGROUND], "Orphan": [ORPHAN], "Background": []}[policy]


def _grace_seconds(resource: Resource, obj: Object, options: DeleteOptions) -> int:
    """Only pods end gracefully, and only those that a node has and that still run."""
    if resource.kind != "Pod" or resource.group:
        return 0
    spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    if options.grace_seconds is not None:
        if options.grace_seconds < 0:
            raise ApiError(422, "Invalid", "gracePeriodSeconds must not be negative")
        return options.grace_seconds
    if is_deleting(obj):
        return int(obj["metadata"].get("deletionGracePeriodSeconds") or 0)
    return int(spec.get("terminationGracePeriodSeconds", 30))
