"""The resources that the server offers: built-in ones from a table, custom ones from their definitions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from devcluster.apiserver.cel.rules import RuleTree
from devcluster.apiserver.objects import Object
from devcluster.apiserver.schemas.builtin import schema_of

ALL_VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`, whose value is at a JSONPath. It is shown by default at priority 0."""

    name: str
    type: str
    json_path: str
    description: str = ""
    format: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Resource:
    """One resource in one API version."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    model: str = ""  # built-in kinds: the client's model that its schema is read from
    custom_schema: Object | None = field(default=None, hash=False)
    rules: RuleTree | None = field(default=None, hash=False, compare=False)
    columns: tuple[Column, ...] = ()
    has_generation: bool = False
    stored_as: str = ""  # another resource whose objects these are

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage_key(self) -> str:
        return self.stored_as or f"{self.group}/{self.plural}"

    @property
    def is_custom(self) -> bool:
        return self.custom_schema is not None

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def schema(self) -> Object:
        return self.custom_schema if self.custom_schema is not None else schema_of(self.model)


class Registry:
    """The resources by group, version and plural. Versions of a group are in order of preference."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str, str], Resource] = {
            (resource.group, resource.version, resource.plural): resource for resource in BUILT_IN
        }

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._resources.get((group, version, plural))

    def replace_custom(self, group: str, plural: str, resources: list[Resource]) -> None:
        """Serve a custom resource in the versions `resources`; none to stop serving it."""
        for key in [key for key in self._resources if (key[0], key[2]) == (group, plural)]:
            del self._resources[key]
        for resource in resources:
            self._resources[resource.group, resource.version, resource.plural] = resource

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._resources.values()))


def _built_in(
    group: str, kind: str, short_names: str = "", subresources: str = "", *, model: str = "", **more: Any
) -> Resource:
    """Return a built-in resource of version v1; plural and model follow from its kind.

    Names are separated by spaces.
    """
    singular = kind.lower()
    return Resource(
        group,
        "v1",
        kind,
        plural=re.sub("y$", "ie", re.sub("s$", "se", singular)) + "s",
        singular=singular,
        short_names=tuple(short_names.split()),
        subresources=tuple(subresources.split()),
        model=model or f"V1{kind}",
        **more,
    )


_ALL: Any = {"categories": ("all",)}
_CLUSTER: Any = {"namespaced": False}
_REVIEW: Any = {"namespaced": False, "verbs": ("create",)}
_API: Any = {"categories": ("api-extensions",), "has_generation": True, "namespaced": False}
_RBAC = "rbac.authorization.k8s.io"

BUILT_IN = (
    _built_in("", "ConfigMap", "cm"),
    _built_in("", "Event", "ev", model="CoreV1Event", stored_as="/events"),
    _built_in("", "Namespace", "ns", "status finalize", **_CLUSTER),
    _built_in("", "Node", "no", "status", **_CLUSTER),
    _built_in("", "PersistentVolumeClaim", "pvc", "status"),
    _built_in("", "PersistentVolume", "pv", "status", **_CLUSTER),
    _built_in("", "Pod", "po", "status log binding eviction", has_generation=True, **_ALL),
    _built_in("", "ResourceQuota", "quota", "status"),
    _built_in("", "Secret"),
    _built_in("", "ServiceAccount", "sa", "token"),
    _built_in("", "Service", "svc", "status", **_ALL),
    _built_in("apps", "Deployment", "deploy", "status", has_generation=True, **_ALL),
    _built_in("batch", "Job", "", "status", has_generation=True, **_ALL),
    _built_in("coordination.k8s.io", "Lease"),
    _built_in("discovery.k8s.io", "EndpointSlice"),
    _built_in("events.k8s.io", "Event", "ev", model="EventsV1Event", stored_as="/events"),
    _built_in("networking.k8s.io", "NetworkPolicy", "netpol", has_generation=True),
    _built_in("policy", "PodDisruptionBudget", "pdb", "status", has_generation=True),
    _built_in("apiextensions.k8s.io", "CustomResourceDefinition", "crd crds", "status", **_API),
    _built_in("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "", "status", **_API),
    _built_in("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", **_API),
    _built_in("storage.k8s.io", "StorageClass", "sc", **_CLUSTER),
    _built_in("scheduling.k8s.io", "PriorityClass", "pc", **_CLUSTER),
    _built_in(_RBAC, "Role"),
    _built_in(_RBAC, "RoleBinding"),
    _built_in(_RBAC, "ClusterRole", **_CLUSTER),
    _built_in(_RBAC, "ClusterRoleBinding", **_CLUSTER),
    _built_in("authentication.k8s.io", "TokenReview", **_REVIEW),
    _built_in("authentication.k8s.io", "SelfSubjectReview", **_REVIEW),
    _built_in("authorization.k8s.io", "SelfSubjectAccessReview", **_REVIEW),
    _built_in("authorization.k8s.io", "SubjectAccessReview", **_REVIEW),
)
