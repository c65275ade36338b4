"""The form in which a client asks for objects: whole, as a table, or their metadata alone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from devcluster.apiserver.errors import ApiError
from devcluster.apiserver.kinds.versions import served
from devcluster.apiserver.objects import Object
from devcluster.apiserver.reads.tables import column_definitions, row
from devcluster.apiserver.resources import Resource

_PARTIAL = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
_ACCEPTABLE = ("application/json", "*/*", "application/*", "")


@dataclass(frozen=True)
class View:
    """`kind` is Object, Table or PartialObjectMetadata; `include` is the part of the object in a table's rows."""

    kind: str = "Object"
    include: str = "Metadata"

    def one(self, resource: Resource, obj: Object) -> Object:
        obj = served(resource, obj)
        if self.kind == "Table":
            return self._table(resource, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})
        return partial(obj) if self.kind == "PartialObjectMetadata" else obj

    def many(self, resource: Resource, objs: Iterable[Object], meta: Object) -> Object:
        items = [served(resource, obj) for obj in objs]
        if self.kind == "Table":
            return self._table(resource, items, meta)
        if self.kind == "PartialObjectMetadata":
            listed = [partial(item) for item in items]
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": meta,
                "items": listed,
            }
        return {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": meta, "items": items}

    def event(self, resource: Resource, kind: str, obj: Object, *, first: bool) -> Object:
        """Return an object of a watch event; only the first table of a watch has its column definitions."""
        if kind == "ERROR":
            return obj
        if kind == "BOOKMARK" and self.kind == "Table":
            return {**self._table(resource, [], obj["metadata"]), "columnDefinitions": None}
        if kind == "BOOKMARK":
            return {**obj, **_PARTIAL} if self.kind == "PartialObjectMetadata" else obj
        shown = self.one(resource, obj)
        return shown if first or self.kind != "Table" else {**shown, "columnDefinitions": None}

    def _table(self, resource: Resource, objs: list[Object], meta: Object) -> Object:
        rows = []
        for obj in objs:
            entry: Object = {"cells": row(resource, obj)}
            if self.include != "None":
                entry["object"] = obj if self.include == "Object" else partial(obj)
            rows.append(entry)
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "columnDefinitions": column_definitions(resource),
            "rows": rows,
        }


def partial(obj: Object) -> Object:
    return {**_PARTIAL, "metadata": obj["metadata"]}


def read_view(accept: str, include: str | None) -> View:
    """Return the first supported form in the Accept header. Raises ApiError 406 if there is none."""
    for offer in accept.split(","):
        media_type, *parameters = [part.strip() for part in offer.split(";")]
        if media_type not in _ACCEPTABLE:
            continue
        wanted = dict(re.findall(r"(\w+)=([^;]+)", ";".join(parameters)))
        form = wanted.get("as", "")
        if form == "Table" and wanted.get("v") == "v1":
            return View("Table", include or "Metadata")
        if form.startswith("PartialObjectMetadata") and wanted.get("v", "v1") == "v1":
            return View("PartialObjectMetadata")
        if not form:
            return View()
    raise ApiError(406, "NotAcceptable", "only the following media types are accepted: application/json")
