"""Discovery of groups, versions and resources, in the legacy and the aggregated format."""

from devcluster.apiserver.errors import no_such_path
from devcluster.apiserver.objects import Object
from devcluster.apiserver.resources import Registry, Resource

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SUBRESOURCE_KINDS = {
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "log": ("", "v1", "Pod", ("get",)),
    "finalize": ("", "v1", "Namespace", ("update",)),
}
VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+devcluster",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-04-22T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def wants_aggregated(accept: str) -> bool:
    return "as=APIGroupDiscoveryList" in accept and "v=v2;" in accept.replace(" ", "") + ";"


def aggregated(registry: Registry, *, core: bool) -> tuple[Object, str]:
    """Return (/api or /apis as one aggregated document, its content type)."""
    items = []
    for group, versions in _groups(registry):
        if core != (group == ""):
            continue
        listed = [
            {
                "version": version,
                "resources": [_described(resource) for resource in resources],
                "freshness": "Current",
            }
            for version, resources in versions
        ]
        meta: Object = {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
        items.append({"metadata": meta, "versions": listed})
    body = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}
    return body, _AGGREGATED


def core_versions(address: str) -> Object:
    """Return the document of /api."""
    server = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [server]}


def group_list(registry: Registry) -> Object:
    """Return the document of /apis."""
    groups = [_group(group, versions) for group, versions in _groups(registry) if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def resource_list(registry: Registry, group: str, version: str) -> Object:
    """Return the document of /api/v1 or /apis/GROUP/VERSION. Raises ApiError 404."""
    found = [resource for resource in registry if (resource.group, resource.version) == (group, version)]
    if not found:
        raise no_such_path()
    listed = [entry for resource in found for entry in _entries(resource)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": listed,
    }


def _groups(registry: Registry) -> list[tuple[str, list[tuple[str, list[Resource]]]]]:
    resources = list(registry)
    groups = list(dict.fromkeys(resource.group for resource in resources))
    result = []
    for group in groups:
        own = [resource for resource in resources if resource.group == group]
        versions = list(dict.fromkeys(resource.version for resource in own))
        result.append((group, [(version, [r for r in own if r.version == version]) for version in versions]))
    return result


def _group(group: str, versions: list[tuple[str, list[Resource]]]) -> Object:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version, _ in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def _entries(resource: Resource) -> list[Object]:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return [entry, *(_subresource_entry(resource, name) for name in resource.subresources)]


def _subresource(resource: Resource, name: str) -> tuple[str, str, str, tuple[str, ...]]:
    own = (resource.group, resource.version, resource.kind, ("get", "patch", "update"))
    return _SUBRESOURCE_KINDS.get(name, own)


def _subresource_entry(resource: Resource, name: str) -> Object:
    group, version, kind, verbs = _subresource(resource, name)
    entry: Object = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind,
        "verbs": list(verbs),
    }
    if group != resource.group:
        entry |= {"group": group, "version": version}
    return entry


def _described(resource: Resource) -> Object:
    described: Object = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        described["shortNames"] = list(resource.short_names)
    if resource.categories:
        described["categories"] = list(resource.categories)
    if resource.subresources:
        described["subresources"] = [_described_subresource(resource, name) for name in resource.subresources]
    return described


def _described_subresource(resource: Resource, name: str) -> Object:
    group, version, kind, verbs = _subresource(resource, name)
    response = {"group": group, "version": version, "kind": kind}
    return {"subresource": name, "responseKind": response, "verbs": list(verbs)}
