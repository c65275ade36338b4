"""The resource, object and subresource that the path of a request names."""

from dataclasses import dataclass
from urllib.parse import unquote

from devcluster.apiserver.errors import no_such_path
from devcluster.apiserver.resources import Registry, Resource
from devcluster.apiserver.store import Key


@dataclass(frozen=True)
class Target:
    """`namespace` is empty for cluster-scoped resources and for all namespaces; `name` for collections."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)


def parse_target(path: str, registry: Registry) -> Target:
    """`/api/v1/...` or `/apis/GROUP/VERSION/...` as a target. Raises ApiError 404 if it is not served."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise no_such_path()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not _is_namespace_subresource(rest):
        namespace, rest = rest[1], rest[2:]
    resource = registry.find(group, version, rest[0])
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise no_such_path()
    name = rest[1] if len(rest) > 1 else ""
    if name and resource.namespaced and not namespace:
        raise no_such_path()
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource and subresource not in resource.subresources:
        raise no_such_path()
    return Target(resource, namespace, name, subresource)


def _is_namespace_subresource(rest: list[str]) -> bool:
    """Return whether the path names a subresource of a namespace: only these names follow a namespace's."""
    return len(rest) == 3 and rest[2] in ("status", "finalize")
