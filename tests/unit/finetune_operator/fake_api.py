"""An API server as far as a pass of the reconciler asks one: objects by path, errors on demand, a list of requests."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any

from kubernetes.aio.client import ApiException
from kubernetes.aio.client.exceptions import ConflictException, NotFoundException
from tests.unit.finetune_operator.samples import merged

from finetune_operator.kube.client import Kind, Kube
from finetune_operator.kube.pages import Page

_PRECONDITIONS = ("uid", "resourceVersion")
"""Of a patch that has them in its metadata."""


class FakeApi(Kube):
    """`objects` holds what there is, by plural and name; `requests` what was asked for, such as `create jobs`."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[str] = []
        self.selectors: list[dict[str, str]] = []
        """What each list was narrowed by."""
        self.failures: dict[str, Exception] = {}
        """What a request such as `create jobs` fails with."""
        self._versions = itertools.count(100)

    def put(self, kind: Kind, raw: dict[str, Any]) -> dict[str, Any]:
        metadata = {"uid": f"{kind.plural}-uid", **raw["metadata"], "resourceVersion": str(next(self._versions))}
        stored = {**deepcopy(raw), "metadata": metadata}
        self.objects[kind.plural, metadata["name"]] = stored
        return deepcopy(stored)

    def _note(self, verb: str, kind: Kind) -> None:
        self.requests.append(f"{verb} {kind.plural}")
        if self.requests[-1] in self.failures:
            raise self.failures[self.requests[-1]]

    async def get(
        self, kind: Kind, namespace: str, name: str, *, on_behalf_of: str = "", subresource: str | None = None
    ) -> dict[str, Any] | None:
        self._note("get", kind)
        return deepcopy(self.objects.get((kind.plural, name)))

    async def create(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        self._note("create", kind)
        metadata = manifest["metadata"]
        name = metadata.get("name") or f"{metadata['generateName']}{len(self.requests)}"
        if (kind.plural, name) in self.objects:
            raise ConflictException(status=409)
        return self.put(kind, merged(manifest, {"metadata": {"name": name}}))

    async def apply(self, kind: Kind, manifest: dict[str, Any]) -> dict[str, Any]:
        self._note("apply", kind)
        return self.put(kind, merged(self.objects[kind.plural, manifest["metadata"]["name"]], manifest))

    async def merge(
        self, kind: Kind, namespace: str, name: str, patch: dict[str, Any], uid: str | None = None
    ) -> dict[str, Any]:
        self._note("merge", kind)
        if uid is not None:
            patch = merged(patch, {"metadata": {"uid": uid}})
        if (kind.plural, name) not in self.objects:
            raise NotFoundException(status=404)
        stored = self.objects[kind.plural, name]
        if any(
            stored["metadata"][key] != patch.get("metadata", {}).get(key, stored["metadata"][key])
            for key in _PRECONDITIONS
        ):
            raise ConflictException(status=409)
        return self.put(kind, _without_nulls(merged(stored, patch)))

    async def replace(self, kind: Kind, manifest: dict[str, Any], subresource: str | None = None) -> dict[str, Any]:
        self._note("replace", kind)
        stored = self.objects.get((kind.plural, manifest["metadata"]["name"]))
        if stored is None:
            raise NotFoundException(status=404)
        if stored["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise ConflictException(status=409)
        return self.put(kind, manifest)

    async def replace_status(self, kind: Kind, manifest: dict[str, Any], *, in_turn: bool = False) -> dict[str, Any]:
        self._note("replace status of", kind)
        stored = self.objects[kind.plural, manifest["metadata"]["name"]]
        if stored["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise ConflictException(status=409)
        status = json.loads(json.dumps(manifest["status"]))
        # What changes nothing makes no version.
        return deepcopy(stored) if stored.get("status") == status else self.put(kind, {**stored, "status": status})

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str, *, after_children: bool = False) -> None:
        self._note("delete", kind)
        stored = self.objects.pop((kind.plural, name))
        assert stored["metadata"]["uid"] == uid
        if after_children:
            # Its pods go first, which takes its time.
            self.put(kind, merged(stored, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))

    async def pages(
        self,
        kind: Kind,
        namespace: str | None,
        read: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda raw: raw,
        selectors: Mapping[str, str] = MappingProxyType({}),
        *,
        pause: float = 0.0,
    ) -> AsyncIterator[Page]:
        self._note("list", kind)
        self.selectors.append({**selectors})
        await asyncio.sleep(0)
        found = [read(deepcopy(raw)) for (plural, _), raw in self.objects.items() if plural == kind.plural]
        yield Page([raw for raw in found if raw is not None], str(next(self._versions)))

    list_to_watch = pages


def _without_nulls(raw: Any) -> Any:
    """What a merge patch leaves of an object that it sets fields of to null."""
    if not isinstance(raw, dict):
        return raw
    return {key: _without_nulls(value) for key, value in raw.items() if value is not None}


def refusal(status: int, message: str) -> ApiException:
    """An answer of the API server, of the class that the client makes of it."""

    class Response:
        def __init__(self) -> None:
            self.status = status
            self.reason = "refused"
            self.data = json.dumps({"message": message}).encode()
            self.headers: dict[str, str] = {}

    try:
        ApiException.from_response(http_resp=Response(), body=None, data=None)
    except ApiException as error:
        return error
    raise AssertionError
