"""What may refuse a write that is valid by itself, for what else there is: namespaces, service accounts, policies.

Kubernetes' admission plugins: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from devcluster.apiserver.errors import forbidden, not_found
from devcluster.apiserver.kinds import admission_policies
from devcluster.apiserver.kinds.admission_policies import Admission
from devcluster.apiserver.kinds.versions import served
from devcluster.apiserver.objects import Object, is_deleting
from devcluster.apiserver.resources import Registry
from devcluster.apiserver.store import Store
from devcluster.apiserver.targets import Target

NAMESPACES = "/namespaces"


class AdmissionChecks:
    """Those that the API server has without webhooks."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry = store, registry

    def check_namespace(self, target: Target, meta: Object) -> None:
        """Raise ApiError 404 or 403 if the namespace of a new object is not there, or is going away (NamespaceLifecycle)."""
        if not target.resource.namespaced:
            return
        namespace = self._store.get(NAMESPACES, ("", target.namespace))
        if namespace is None:
            raise not_found("namespaces", "", target.namespace)
        if is_deleting(namespace):
            name = meta.get("name") or meta.get("generateName") or ""
            why = f"unable to create new content in namespace {target.namespace} because it is being terminated"
            error = forbidden(target.resource.plural, target.resource.group, name, why)
            message = f"namespace {target.namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}
            error.details = {**(error.details or {}), "causes": [cause]}
            raise error

    def check_references(self, pod: Object) -> None:
        """Raise ApiError 403 if the service account or priority class of a new pod does not exist (ServiceAccount, Priority)."""
        meta, spec = pod["metadata"], pod.get("spec") or {}
        namespace, name = meta["namespace"], meta.get("name") or meta.get("generateName") or ""
        account = spec.get("serviceAccountName") or "default"
        if self._store.get("/serviceaccounts", (namespace, account)) is None:
            why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise forbidden("pods", "", name, why)
        priority = spec.get("priorityClassName")
        if priority and not priority.startswith("system-"):
            found = self._store.get("scheduling.k8s.io/priorityclasses", ("", priority))
            if found is None:
                raise forbidden("pods", "", name, f"no PriorityClass with name {priority} was found")
            spec["priority"] = found.get("value", 0)

    def check_policies(self, admission: Admission) -> None:
        """Raise ApiError if a ValidatingAdmissionPolicy with a binding denies the write."""
        if admission.resource.group == admission_policies.GROUP:
            return
        namespace = self._store.get(NAMESPACES, ("", admission.metadata.get("namespace") or ""))
        for binding in self._store.objects(admission_policies.BINDINGS):
            policy = self._store.get(admission_policies.POLICIES, ("", binding["spec"]["policyName"]))
            if policy is None:
                continue
            parameters = self._parameters(policy["spec"].get("paramKind"), namespace)
            if error := admission_policies.denial(policy, binding, admission, namespace, parameters):
                raise error

    def _parameters(self, kind: Object | None, namespace: Object | None) -> list[Object | None]:
        """Return the objects that a policy takes as its parameter, one after the other; None if it takes none.

        Those of a namespaced kind are in the namespace of the object that is written.
        """
        if kind is None:
            return [None]
        wanted, here = (kind["apiVersion"], kind["kind"]), namespace["metadata"]["name"] if namespace else ""
        return [
            served(resource, obj)
            for resource in self._registry
            if (resource.api_version, resource.kind) == wanted
            for obj in self._store.objects(resource.storage_key, here if resource.namespaced else "")
        ]
