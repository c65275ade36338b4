"""What a DELETE does to an object: remove it, or mark it and wait for its finalizers, node or controller."""

import datetime
from dataclasses import dataclass, field

from devcluster.apiserver.errors import ApiError, bad_request, conflict
from devcluster.apiserver.objects import Object, clone, is_deleting, timestamp
from devcluster.apiserver.resources import Resource

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


@dataclass(frozen=True)
class DeleteOptions:
    """DeleteOptions of meta/v1; None where the client leaves the choice to the server."""

    grace_seconds: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False
    user: Object = field(default_factory=dict)
    """Who deletes, as `userInfo` of a request has it."""


def read_options(body: Object, query: dict[str, str], user: Object) -> DeleteOptions:
    """Read the options from the body, or else from the query."""
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
        user=user,
    )


def check_preconditions(resource: Resource, obj: Object, options: DeleteOptions) -> None:
    """Raise ApiError 409 if the object has been replaced or changed since the client read it."""
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


def begin_deletion(resource: Resource, obj: Object, options: DeleteOptions) -> Object | None:
    """Return the object with its deletion begun; None if nothing holds it, so that it is removed at once."""
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


def is_removable(obj: Object) -> bool:
    """Return whether an object is being deleted and nothing holds it any more."""
    meta = obj["metadata"]
    if not is_deleting(obj) or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return obj.get("kind") != "Namespace" or not (obj.get("spec") or {}).get("finalizers")


def default_warning(resource: Resource, options: DeleteOptions) -> str | None:
    """Return Kubernetes' warning that by default a deleted Job leaves its pods behind."""
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
    """Return the grace period in seconds: zero but for pods that are bound to a node and not finished."""
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
