"""The resources that the server offers: built-in ones from a table, custom ones from their definitions."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from devcluster.apiserver.builtin_schemas import schema_of
from devcluster.apiserver.cel_rules import RuleTree
from devcluster.apiserver.objects import Object

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`: its value is found by a JSONPath, and is shown by default at priority 0."""

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
    """Finds a resource by group, version and plural. Versions of a group come in order of preference."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str, str], Resource] = {
            (resource.group, resource.version, resource.plural): resource for resource in BUILT_IN
        }

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._resources.get((group, version, plural))

    def replace_custom(self, group: str, plural: str, resources: list[Resource]) -> None:
        """Make `resources` the versions under which a custom resource is served; none to stop serving it."""
        for key in [key for key in self._resources if (key[0], key[2]) == (group, plural)]:
            del self._resources[key]
        for resource in resources:
            self._resources[resource.group, resource.version, resource.plural] = resource

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._resources.values()))


BUILT_IN = (
    Resource("", "v1", "ConfigMap", "configmaps", singular="configmap", short_names=("cm",), model="V1ConfigMap"),
    Resource(
        "", "v1", "Event", "events", singular="event", short_names=("ev",), model="CoreV1Event", stored_as="/events"
    ),
    Resource(
        "",
        "v1",
        "Namespace",
        "namespaces",
        namespaced=False,
        singular="namespace",
        short_names=("ns",),
        subresources=("status", "finalize"),
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        model="V1Namespace",
    ),
    Resource(
        "",
        "v1",
        "Node",
        "nodes",
        namespaced=False,
        singular="node",
        short_names=("no",),
        subresources=("status",),
        model="V1Node",
    ),
    Resource(
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        singular="persistentvolumeclaim",
        short_names=("pvc",),
        subresources=("status",),
        model="V1PersistentVolumeClaim",
    ),
    Resource(
        "",
        "v1",
        "PersistentVolume",
        "persistentvolumes",
        namespaced=False,
        singular="persistentvolume",
        short_names=("pv",),
        subresources=("status",),
        model="V1PersistentVolume",
    ),
    Resource(
        "",
        "v1",
        "Pod",
        "pods",
        singular="pod",
        short_names=("po",),
        categories=("all",),
        subresources=("status", "log", "binding", "eviction"),
        model="V1Pod",
        has_generation=True,
    ),
    Resource("", "v1", "Secret", "secrets", singular="secret", model="V1Secret"),
    Resource(
        "",
        "v1",
        "ServiceAccount",
        "serviceaccounts",
        singular="serviceaccount",
        short_names=("sa",),
        subresources=("token",),
        model="V1ServiceAccount",
    ),
    Resource(
        "",
        "v1",
        "Service",
        "services",
        singular="service",
        short_names=("svc",),
        categories=("all",),
        subresources=("status",),
        model="V1Service",
    ),
    Resource(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        singular="deployment",
        short_names=("deploy",),
        categories=("all",),
        subresources=("status",),
        model="V1Deployment",
        has_generation=True,
    ),
    Resource(
        "batch",
        "v1",
        "Job",
        "jobs",
        singular="job",
        categories=("all",),
        subresources=("status",),
        model="V1Job",
        has_generation=True,
    ),
    Resource("coordination.k8s.io", "v1", "Lease", "leases", singular="lease", model="V1Lease"),
    Resource(
        "events.k8s.io",
        "v1",
        "Event",
        "events",
        singular="event",
        short_names=("ev",),
        model="EventsV1Event",
        stored_as="/events",
    ),
    Resource(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        namespaced=False,
        singular="customresourcedefinition",
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        subresources=("status",),
        model="V1CustomResourceDefinition",
        has_generation=True,
    ),
    Resource(
        "storage.k8s.io",
        "v1",
        "StorageClass",
        "storageclasses",
        namespaced=False,
        singular="storageclass",
        short_names=("sc",),
        model="V1StorageClass",
    ),
    Resource(
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
        namespaced=False,
        singular="priorityclass",
        short_names=("pc",),
        model="V1PriorityClass",
    ),
    Resource("rbac.authorization.k8s.io", "v1", "Role", "roles", singular="role", model="V1Role"),
    Resource(
        "rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", singular="rolebinding", model="V1RoleBinding"
    ),
    Resource(
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRole",
        "clusterroles",
        namespaced=False,
        singular="clusterrole",
        model="V1ClusterRole",
    ),
    Resource(
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        namespaced=False,
        singular="clusterrolebinding",
        model="V1ClusterRoleBinding",
    ),
    Resource(
        "authentication.k8s.io",
        "v1",
        "TokenReview",
        "tokenreviews",
        namespaced=False,
        verbs=("create",),
        model="V1TokenReview",
    ),
    Resource(
        "authentication.k8s.io",
        "v1",
        "SelfSubjectReview",
        "selfsubjectreviews",
        namespaced=False,
        verbs=("create",),
        model="V1SelfSubjectReview",
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        namespaced=False,
        verbs=("create",),
        model="V1SelfSubjectAccessReview",
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "SubjectAccessReview",
        "subjectaccessreviews",
        namespaced=False,
        verbs=("create",),
        model="V1SubjectAccessReview",
    ),
)
