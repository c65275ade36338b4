"""Resources that store nothing: reviews of tokens and access, service account tokens, bindings, evictions."""

from devcluster.apiserver.errors import conflict, not_found
from devcluster.apiserver.objects import Object, clone, timestamp
from devcluster.apiserver.requests.tokens import Tokens, User
from devcluster.apiserver.store import Store
from devcluster.apiserver.targets import Target
from devcluster.apiserver.writes.deletion import read_options
from devcluster.apiserver.writes.writer import Writer

_ALLOWED = {"allowed": True}  # there is no authorization: everyone may do everything


class Reviews:
    """Handles POSTs that store no object of their own."""

    def __init__(self, store: Store, tokens: Tokens, writer: Writer) -> None:
        self._store, self._tokens, self._writer = store, tokens, writer

    def answers(self, target: Target) -> bool:
        only_create = target.resource.verbs == ("create",)
        return only_create or target.subresource in ("token", "binding", "eviction")

    def answer(self, target: Target, body: Object, user: User) -> Object:
        if not target.subresource:
            body = {"apiVersion": target.resource.api_version, "kind": target.resource.kind, "metadata": {}, **body}
        match target.subresource or target.resource.kind:
            case "token":
                return self._tokens.issue(target.namespace, target.name, body)
            case "binding":
                return self._bind(target, body)
            case "eviction":
                return self._evict(target, body, user)
            case "TokenReview":
                return self._tokens.review(body)
            case "SelfSubjectReview":
                return {**body, "status": {"userInfo": user.as_object()}}
        return {**body, "status": dict(_ALLOWED)}

    def _pod(self, target: Target) -> Object:
        pod = self._store.get("/pods", target.key)
        if pod is None:
            raise not_found("pods", "", target.name)
        return clone(pod)  # type: ignore[no-any-return]

    def _bind(self, target: Target, body: Object) -> Object:
        """Bind a pod to a node. Raises ApiError 409 if it has one or is being deleted."""
        pod = self._pod(target)
        node = (body.get("target") or {}).get("name") or ""
        if present := pod["spec"].get("nodeName"):
            why = f'pod {target.name} is already assigned to node "{present}"'
            raise conflict("pods/binding", "", target.name, why)
        if pod["metadata"].get("deletionTimestamp"):
            raise conflict(
                "pods/binding", "", target.name, f"pod {target.name} is being deleted, cannot be assigned to a host"
            )
        pod["spec"]["nodeName"] = node
        _set_condition(pod, {"type": "PodScheduled", "status": "True"})
        self._writer.store_server_change(target, pod)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def _evict(self, target: Target, body: Object, user: User) -> Object:
        """Delete a pod with the condition DisruptionTarget, by which a Job does not count it as a failure."""
        pod = self._pod(target)
        _set_condition(
            pod,
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            },
        )
        self._writer.store_server_change(target, pod)
        self._writer.delete(target, read_options(body.get("deleteOptions") or {}, {}, user.as_object()))
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _set_condition(pod: Object, condition: Object) -> None:
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    kept = [one for one in conditions if one["type"] != condition["type"]]
    pod["status"]["conditions"] = [*kept, {"lastProbeTime": None, "lastTransitionTime": timestamp(), **condition}]
