"""The handler of each request on a resource."""

import base64
import contextlib
import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from devcluster.apiserver.errors import ApiError, bad_request, method_not_allowed, not_found, unsupported_media_type
from devcluster.apiserver.objects import Object
from devcluster.apiserver.reads.selectors import FIELDS, Predicate, field_selector, label_selector
from devcluster.apiserver.reads.views import View, read_view
from devcluster.apiserver.reads.watches import check_resumable, error_event, read_watch_options, watch
from devcluster.apiserver.requests import bodies, pod_logs
from devcluster.apiserver.requests.reviews import Reviews
from devcluster.apiserver.requests.tokens import User
from devcluster.apiserver.resources import Registry
from devcluster.apiserver.store import Store
from devcluster.apiserver.targets import Target, parse_target
from devcluster.apiserver.writes import patches
from devcluster.apiserver.writes.deletion import default_warning, read_options
from devcluster.apiserver.writes.writer import WriteOptions, Writer, Written

_PATCHES = (patches.JSON_PATCH, patches.MERGE_PATCH, patches.STRATEGIC_PATCH, patches.APPLY_PATCH)

USER = web.RequestKey("user", User)


class Handlers:
    """Handles requests on resources."""

    def __init__(self, store: Store, registry: Registry, writer: Writer, reviews: Reviews) -> None:
        self._store, self._registry, self._writer, self._reviews = store, registry, writer, reviews

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Handle any request below /api/VERSION and /apis/GROUP/VERSION."""
        target = parse_target(request.path, self._registry)
        view = read_view(request.headers.get("Accept", ""), request.query.get("includeObject"))
        if self._reviews.answers(target):
            return await self._review(request, target)
        match request.method, bool(target.name):
            case "GET", True if target.subresource == "log":
                return await pod_logs.proxy(request, self._store, target)
            case "GET", True if not _is_watch(request):
                return answer(view.one(target.resource, self._get(target)))
            case "GET", _ if _is_watch(request):
                return await self._watch(request, target, view)
            case "GET", False:
                return answer(self._list(request, target, view))
            case "POST", False:
                return await self._create(request, target, view)
            case "PUT", True:
                return await self._replace(request, target, view)
            case "PATCH", True:
                return await self._patch(request, target, view)
            case "DELETE", True if not target.subresource:
                return await self._delete(request, target)
        raise method_not_allowed()

    def _get(self, target: Target) -> Object:
        found = self._store.get(target.resource.storage_key, target.key)
        if found is None:
            raise not_found(target.resource.plural, target.resource.group, target.name)
        return found

    def _list(self, request: web.Request, target: Target, view: View) -> Object:
        """List in order of names. Each page shows the present state, not a snapshot of when the first was read."""
        query = request.query
        if int(query.get("resourceVersion") or 0) > self._store.revision:
            raise ApiError(504, "Timeout", f"Too large resource version: {query['resourceVersion']}")
        matches = _selection(request, target)
        objs = [obj for obj in self._store.objects(target.resource.storage_key, target.namespace) if matches(obj)]
        meta: Object = {"resourceVersion": str(self._store.revision)}
        limit = int(query.get("limit") or 0)
        if query.get("continue"):
            after = _decode_continue(query["continue"])
            objs = [obj for obj in objs if _key(obj) > after]
        if limit and len(objs) > limit:
            meta |= {"continue": _encode_continue(_key(objs[limit - 1])), "remainingItemCount": len(objs) - limit}
            objs = objs[:limit]
        return view.many(target.resource, objs, meta)

    async def _watch(self, request: web.Request, target: Target, view: View) -> web.StreamResponse:
        options = read_watch_options(dict(request.query), _selection(request, target))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            check_resumable(self._store, target, options)
        except ApiError as error:
            await response.prepare(request)
            await response.write(_line(*error_event(error)))
            return response
        await response.prepare(request)
        first = True
        async with contextlib.aclosing(watch(self._store, target, options)) as events:
            with contextlib.suppress(ConnectionResetError):  # the client has disconnected
                async for kind, obj in events:
                    await response.write(_line(kind, view.event(target.resource, kind, obj, first=first)))
                    first = False
        return response

    async def _create(self, request: web.Request, target: Target, view: View) -> web.Response:
        body = bodies.decode_object(await request.read(), _content_type(request))
        if target.resource.namespaced and not target.namespace:
            raise method_not_allowed()
        return _written(view, target, self._writer.create(target, body, _options(request)))

    async def _replace(self, request: web.Request, target: Target, view: View) -> web.Response:
        body = bodies.decode_object(await request.read(), _content_type(request))
        if target.subresource == "finalize":
            return answer(self._writer.finalize_namespace(target, body))
        return _written(view, target, self._writer.replace(target, body, _options(request)))

    async def _patch(self, request: web.Request, target: Target, view: View) -> web.Response:
        kind = request.content_type
        body = bodies.decode(await request.read(), kind, _PATCHES)
        options = _options(request)
        if kind == patches.APPLY_PATCH:
            if not isinstance(body, dict):
                raise bad_request("the object provided is unrecognized (must be of type Object)")
            return _written(view, target, self._writer.apply(target, body, options))
        if kind == patches.STRATEGIC_PATCH and target.resource.is_custom:
            accepted = tuple(name for name in _PATCHES if name != kind)
            raise unsupported_media_type(accepted)

        def change(obj: Object) -> Object:
            if kind == patches.JSON_PATCH:
                return patches.json_patch(obj, body)
            if kind == patches.MERGE_PATCH:
                return patches.merge_patch(obj, body)
            return patches.strategic_patch(obj, body, target.resource.schema)

        return _written(view, target, self._writer.patch(target, change, options))

    async def _delete(self, request: web.Request, target: Target) -> web.Response:
        options = read_options(await _optional_body(request), dict(request.query), request[USER].as_object())
        warning = default_warning(target.resource, options)
        obj, gone = self._writer.delete(target, options)
        warnings = [warning] if warning else []
        if not gone or target.resource.kind == "Pod":
            return answer(View().one(target.resource, obj), warnings=warnings)
        details = {
            "name": target.name,
            "group": target.resource.group,
            "kind": target.resource.plural,
            "uid": obj["metadata"]["uid"],
        }
        details = {name: value for name, value in details.items() if value}
        return answer({**_success(), "details": details}, warnings=warnings)

    async def _review(self, request: web.Request, target: Target) -> web.Response:
        if request.method != "POST":
            raise method_not_allowed()
        body = bodies.decode_object(await request.read(), _content_type(request))
        return answer(self._reviews.answer(target, body, request[USER]), 201)


def answer(body: Object, status: int = 200, warnings: Iterable[str] = (), content_type: str = "") -> web.Response:
    """Return a JSON response with warnings that kubectl prints."""
    response = web.Response(body=_encode(body), status=status)
    response.headers["Content-Type"] = content_type or "application/json"
    for text in warnings:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response


def _written(view: View, target: Target, written: Written) -> web.Response:
    body = view.one(target.resource, written.obj)
    return answer(body, 201 if written.created else 200, written.warnings)


def _options(request: web.Request) -> WriteOptions:
    """Read the options of a write. The default manager is the user agent's first part (`kubectl/v1.37` → `kubectl`)."""
    query = request.query
    agent = request.headers.get("User-Agent", "unknown").split("/")[0]
    is_apply = request.content_type == patches.APPLY_PATCH
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise bad_request(f'fieldValidation: Unsupported value: "{validation}"')
    return WriteOptions(
        manager=query.get("fieldManager") or ("" if is_apply else agent),
        field_validation=validation,
        force=query.get("force") == "true",
        dry_run=bool(query.get("dryRun")),
        user=request[USER].as_object(),
    )


def _selection(request: web.Request, target: Target) -> Predicate:
    query, resource = request.query, target.resource
    checks: list[Predicate] = []
    if text := query.get("labelSelector"):
        checks.append(label_selector(text))
    if text := query.get("fieldSelector"):
        checks.append(field_selector(text, FIELDS.get((resource.group, resource.plural), ())))
    return lambda obj: all(check(obj) for check in checks)


def _content_type(request: web.Request) -> str:
    """Return the body's content type; empty, which means JSON, if the client sends none as `kubectl create --raw` does."""
    return request.content_type if "Content-Type" in request.headers else ""


def _is_watch(request: web.Request) -> bool:
    return request.query.get("watch") in ("true", "1")


async def _optional_body(request: web.Request) -> Object:
    raw = await request.read()
    return bodies.decode_object(raw, _content_type(request)) if raw.strip() else {}


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def _encode_continue(key: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _decode_continue(token: str) -> tuple[str, str]:
    try:
        namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    return str(namespace), str(name)


def _success() -> Object:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def _line(kind: str, obj: Object) -> bytes:
    return _encode({"type": kind, "object": obj}) + b"\n"


def _encode(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
