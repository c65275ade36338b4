"""Create, replace, patch, apply and delete, each as one transaction on the store."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from devcluster.apiserver.errors import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    forbidden_field,
    invalid,
    invalid_value,
    not_found,
    required,
)
from devcluster.apiserver.kinds import builtin, crds
from devcluster.apiserver.kinds.admission_policies import Admission
from devcluster.apiserver.kinds.versions import served, stored
from devcluster.apiserver.objects import Object, clone, generated_name, is_deleting, timestamp
from devcluster.apiserver.resources import Registry, Resource
from devcluster.apiserver.schemas.structural import prune
from devcluster.apiserver.store import Key, Store
from devcluster.apiserver.targets import Target
from devcluster.apiserver.writes import checks
from devcluster.apiserver.writes.admission import NAMESPACES, AdmissionChecks
from devcluster.apiserver.writes.apply import Manager, apply, record_update
from devcluster.apiserver.writes.deletion import (
    CLEANUP,
    DeleteOptions,
    begin_deletion,
    check_preconditions,
    is_removable,
)
from devcluster.apiserver.writes.fieldsets import Path

DEFINITIONS = f"{crds.GROUP}/{crds.PLURAL}"
_MAX_OBJECT_BYTES, _MAX_MESSAGE_BYTES = 3 * 512 * 1024, 2 * 1024**2
_SERVERS_OWN = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "namespace",
)


@dataclass(frozen=True)
class WriteOptions:
    """The options of a write request."""

    manager: str
    field_validation: str = "Warn"
    force: bool = False
    dry_run: bool = False
    user: Object = field(default_factory=dict)
    """Who writes, as `userInfo` of a request has it."""


@dataclass(frozen=True)
class Written:
    """The object to return, whether it was created, and warnings for the client."""

    obj: Object
    created: bool = False
    warnings: tuple[str, ...] = ()


class Writer:
    """Makes every change of the cluster's state."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry = store, registry
        self._admission = AdmissionChecks(store, registry)

    def create(self, target: Target, body: Object, options: WriteOptions) -> Written:
        resource = target.resource
        checks.check_type(target, body)
        self._admission.check_namespace(target, body["metadata"])
        checks.check_decodable(resource, body)
        warnings = checks.drop_unknown(resource, body, options.field_validation)
        return Written(self._insert(target, body, options), created=True, warnings=tuple(warnings))

    def replace(self, target: Target, body: Object, options: WriteOptions) -> Written:
        checks.check_type(target, body)
        live = self._live(target)
        checks.check_decodable(target.resource, body)
        warnings = checks.drop_unknown(target.resource, body, options.field_validation)
        if target.resource.is_custom and not body["metadata"].get("resourceVersion"):
            why = [invalid_value("metadata.resourceVersion", 0, "must be specified for an update")]
            raise invalid(target.resource.plural, target.resource.group, target.name, why)
        return Written(self._update(target, live, body, options), warnings=tuple(warnings))

    def patch(self, target: Target, change: Callable[[Object], Object], options: WriteOptions) -> Written:
        """Update an object; `change` returns the patched form of the object in this version."""
        live = self._live(target)
        body = change(live)
        checks.check_type(target, body)
        checks.check_decodable(target.resource, body)
        warnings = checks.drop_unknown(target.resource, body, options.field_validation)
        return Written(self._update(target, live, body, options), warnings=tuple(warnings))

    def apply(self, target: Target, config: Object, options: WriteOptions) -> Written:
        """Apply a configuration server-side; create the object if it does not exist."""
        resource = target.resource
        if not options.manager:
            missing = [required("fieldManager", "is required for apply patch")]
            raise invalid("PatchOptions", "meta.k8s.io", "", missing)
        if not config.get("apiVersion") or not config.get("kind"):
            raise bad_request(f"invalid object type: /, Kind={config.get('kind', '')}")
        checks.check_type(target, config)
        if config["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        checks.check_decodable(resource, config)
        if unknown := prune(clone(config), resource.schema):
            raise ApiError(
                500,
                "",
                f"failed to create typed patch object (/{target.name}; {resource.group}/{resource.version},"
                f" Kind={resource.kind}): .{unknown[0]}: field not declared in schema",
            )
        kept = self._store.get(resource.storage_key, target.key)
        if kept is None and target.subresource:
            raise not_found(resource.plural, resource.group, target.name)
        if kept is None:
            self._admission.check_namespace(target, config["metadata"])
        live = served(resource, kept) if kept is not None else _empty_object(config)
        merged = apply(
            live,
            config,
            resource.schema,
            Manager(options.manager, "Apply", resource.api_version, target.subresource),
            force=options.force,
            ignored=_ignored(target),
        )
        if kept is None:
            return Written(self._insert(target, merged, options, applied=True), created=True)
        return Written(self._update(target, live, merged, options, applied=True))

    def delete(self, target: Target, options: DeleteOptions) -> tuple[Object, bool]:
        """Delete an object, or begin its deletion; return (the object, whether it was removed)."""
        resource, live = target.resource, self._live(target)
        check_preconditions(resource, live, options)
        asked = {"propagationPolicy": options.propagation} if options.propagation else {}
        self._admission.check_policies(Admission(resource, target.subresource, None, live, options.user, asked))
        return self._delete(target, live, options)

    def _delete(self, target: Target, live: Object, options: DeleteOptions) -> tuple[Object, bool]:
        resource = target.resource
        left = begin_deletion(resource, live, options)
        if resource.storage_key == DEFINITIONS and left is None and not options.dry_run:
            left = self._delete_instances(live)
        if options.dry_run:
            return left or live, left is None
        if left is None:
            return self._remove(target, live), True
        if left != live:
            left = self._store.put(resource.storage_key, target.key, stored(resource, left))
        return left, False

    def finalize_namespace(self, target: Target, body: Object) -> Object:
        """Set the finalizers of a namespace's spec (PUT of namespaces/NAME/finalize)."""
        live = clone(self._live(target))
        live.setdefault("spec", {})["finalizers"] = (body.get("spec") or {}).get("finalizers") or []
        return self._remove(target, live) if is_removable(live) else self._store.put(NAMESPACES, target.key, live)

    def store_server_change(self, target: Target, obj: Object) -> Object:
        """Store an object that the server changed itself (a binding, an eviction's condition)."""
        return self._store.put(target.resource.storage_key, target.key, stored(target.resource, obj))

    def _insert(self, target: Target, obj: Object, options: WriteOptions, *, applied: bool = False) -> Object:
        resource, meta = target.resource, obj["metadata"]
        if meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = generated_name(meta["generateName"])
        if resource.has_status:
            obj.pop("status", None)
        for own in (*_SERVERS_OWN, "selfLink"):
            if own != "namespace":
                meta.pop(own, None)
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        if resource.has_generation:
            meta["generation"] = 1
        checks.fill_defaults(resource, obj)
        if resource.kind == "Pod" and not resource.group:
            self._admission.check_references(obj)
        checks.check_valid(resource, obj, None)
        self._admission.check_policies(Admission(resource, target.subresource, obj, None, options.user))
        key = (meta.get("namespace") or "", meta["name"])
        if self._store.get(resource.storage_key, key) is not None:
            raise already_exists(resource.plural, resource.group, meta["name"])
        if not applied:
            manager = Manager(options.manager, "Update", resource.api_version)
            record_update(None, obj, resource.schema, manager, _ignored(target))
        if not resource.is_custom:
            builtin.admit(resource.kind, obj)
        if options.dry_run:
            return obj
        return served(resource, self._stored(resource, key, obj))

    def _update(
        self, target: Target, live: Object, new: Object, options: WriteOptions, *, applied: bool = False
    ) -> Object:
        resource = target.resource
        self._check_unchanged(target, live, new)
        new = _with_protected_fields(target, live, new)
        checks.fill_defaults(resource, new)
        checks.check_valid(resource, new, live, status_only=target.subresource == "status")
        self._admission.check_policies(Admission(resource, target.subresource, new, live, options.user))
        if is_deleting(live):
            _check_finalizers(resource, live, new)
        if resource.has_generation and _generation_fields(resource, new) != _generation_fields(resource, live):
            new["metadata"]["generation"] = (live["metadata"].get("generation") or 0) + 1
        if not applied:
            manager = Manager(options.manager, "Update", resource.api_version, target.subresource)
            record_update(live, new, resource.schema, manager, _ignored(target))
        if _comparable(new) == _comparable(live) or options.dry_run:
            return new if options.dry_run else live
        if is_removable(new):
            return self._remove(target, new)
        return served(resource, self._stored(resource, target.key, new))

    def _stored(self, resource: Resource, key: Key, obj: Object) -> Object:
        _check_size(obj)
        if resource.storage_key != DEFINITIONS:
            return self._store.put(resource.storage_key, key, stored(resource, obj))
        obj = self._store.put(DEFINITIONS, key, crds.with_established_status(obj))
        self._registry.replace_custom(obj["spec"]["group"], obj["spec"]["names"]["plural"], crds.resources_of(obj))
        return obj

    def _remove(self, target: Target, last: Object) -> Object:
        resource = target.resource
        gone = self._store.remove(resource.storage_key, target.key, stored(resource, last))
        if resource.storage_key == DEFINITIONS:
            spec = gone["spec"]
            self._registry.replace_custom(spec["group"], spec["names"]["plural"], [])
            self._store.drop(f"{spec['group']}/{spec['names']['plural']}")
        elif resource.is_custom:
            self._finish_definition(resource)
        return served(resource, gone)

    def _delete_instances(self, crd: Object) -> Object | None:
        """Delete a definition's objects; return the definition with its deletion begun if finalizers hold some."""
        spec = crd["spec"]
        key = f"{spec['group']}/{spec['names']['plural']}"
        for resource in [resource for resource in self._registry if resource.storage_key == key][:1]:
            for obj in list(self._store.objects(key)):
                meta = obj["metadata"]
                self._delete(Target(resource, meta.get("namespace", ""), meta["name"]), obj, DeleteOptions())
        if not any(True for _ in self._store.objects(key)):
            return None
        left: Object = clone(crd)
        left["metadata"] |= {"finalizers": [CLEANUP], "deletionTimestamp": timestamp()}
        return left

    def _finish_definition(self, resource: Resource) -> None:
        """Remove a definition that is being deleted once its last object is removed."""
        key = ("", f"{resource.plural}.{resource.group}")
        crd = self._store.get(DEFINITIONS, key)
        if crd is None or CLEANUP not in (crd["metadata"].get("finalizers") or ()):
            return
        if not any(True for _ in self._store.objects(resource.storage_key)):
            definitions = next(r for r in self._registry if r.storage_key == DEFINITIONS)
            self._remove(Target(definitions, "", key[1]), crd)

    def _live(self, target: Target) -> Object:
        found = self._store.get(target.resource.storage_key, target.key)
        if found is None:
            raise not_found(target.resource.plural, target.resource.group, target.name)
        return served(target.resource, found)

    def _check_unchanged(self, target: Target, live: Object, new: Object) -> None:
        """Raise ApiError 409 if the client's object is not the one that is stored."""
        resource, meta = target.resource, new["metadata"]
        if (version := meta.get("resourceVersion")) and version != live["metadata"]["resourceVersion"]:
            raise conflict(resource.plural, resource.group, target.name)
        uid = meta.get("uid")
        if uid and uid != live["metadata"]["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {live['metadata']['uid']}"
            raise conflict(resource.plural, resource.group, target.name, why)


def _check_size(obj: Object) -> None:
    """Raise ApiError 500 if the object is too large for etcd."""
    size = len(json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode())
    if size > _MAX_MESSAGE_BYTES:
        what = f"rpc error: code = ResourceExhausted desc = trying to send message larger than max ({size} vs. 2097152)"
        raise ApiError(500, "", what)
    if size > _MAX_OBJECT_BYTES:
        raise ApiError(500, "", "etcdserver: request is too large")


def _with_protected_fields(target: Target, live: Object, new: Object) -> Object:
    """Return the new object with the live values of all fields that this endpoint may not change."""
    meta = {**new["metadata"]}
    for own in (*_SERVERS_OWN, "name", "resourceVersion"):
        meta.pop(own, None)
        if own in live["metadata"]:
            meta[own] = live["metadata"][own]
    if target.subresource == "status":
        if target.resource.is_custom:
            managed = meta.get("managedFields")
            meta = clone(live["metadata"]) | ({"managedFields": managed} if managed is not None else {})
        body = clone({name: value for name, value in live.items() if name != "status"})
        body |= {"status": clone(new["status"])} if "status" in new else {}
    else:
        body = clone({name: value for name, value in new.items() if name != "status"})
        source = live if target.resource.has_status else new
        body |= {"status": clone(source["status"])} if "status" in source else {}
    return {**body, "metadata": clone(meta)}


def _ignored(target: Target) -> tuple[Path, ...]:
    """Return the fields that writes to this endpoint do not own."""
    if target.subresource == "status":
        dropped: tuple[Path, ...] = (("f:spec",),)
        return (*dropped, ("f:metadata",)) if target.resource.is_custom else dropped
    return (("f:status",),) if target.resource.has_status else ()


def _check_finalizers(resource: Resource, live: Object, new: Object) -> None:
    """Raise ApiError 422 if an object that is being deleted gets new finalizers."""
    added = set(new["metadata"].get("finalizers") or ()) - set(live["metadata"].get("finalizers") or ())
    if added:
        names = ", ".join(f'"{name}"' for name in sorted(added))
        why = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{names}}}"
        error = forbidden_field("metadata.finalizers", why)
        raise invalid(resource.kind, resource.group, live["metadata"]["name"], [error])


def _generation_fields(resource: Resource, obj: Object) -> Object:
    left_out = ("metadata", "status") if resource.has_status else ("metadata",)
    return {name: value for name, value in obj.items() if name not in left_out}


def _comparable(obj: Object) -> Object:
    """Return an object for comparison: the time at which a manager last wrote is not a change."""
    meta = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    managers = [
        {name: value for name, value in entry.items() if name != "time"}
        for entry in obj["metadata"].get("managedFields") or ()
    ]
    order = sorted(managers, key=lambda entry: (entry["manager"], entry["operation"], entry.get("subresource", "")))
    return {**obj, "metadata": meta, "_managers": order}


def _empty_object(config: Object) -> Object:
    """Return the empty object into which a first apply is merged."""
    return {"apiVersion": config["apiVersion"], "kind": config["kind"], "metadata": {}}
