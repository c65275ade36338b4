"""Bearer tokens: the administrator's, and those of service accounts, which are JWTs that can be bound to a pod."""

import datetime
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from devcluster.apiserver.errors import ApiError, bad_request, conflict, invalid, invalid_value, not_found
from devcluster.apiserver.objects import Object, timestamp
from devcluster.apiserver.store import Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
_SHORTEST, _USUAL = 600, 3600  # seconds
_EXTRA = "authentication.kubernetes.io"


@dataclass(frozen=True)
class User:
    """The user of a request, in the terms of TokenReview and SelfSubjectReview."""

    username: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)

    def as_object(self) -> Object:
        user: Object = {"username": self.username, "groups": list(self.groups)}
        return user | ({"uid": self.uid} if self.uid else {}) | ({"extra": self.extra} if self.extra else {})


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
_ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


class Tokens:
    """Issues and checks tokens. The signing key is the cluster's own and is not stored."""

    def __init__(self, store: Store) -> None:
        self.admin = secrets.token_urlsafe(32)
        self._store = store
        self._key = ec.generate_private_key(ec.SECP256R1())

    def issue(self, namespace: str, name: str, request: Object) -> Object:
        """Answer a TokenRequest of a service account. Raises ApiError 404 without the account or the pod to bind to."""
        account = self._store.get("/serviceaccounts", (namespace, name))
        if account is None:
            raise not_found("serviceaccounts", "", name)
        spec = request.get("spec") or {}
        seconds = spec.get("expirationSeconds") or _USUAL
        if seconds < _SHORTEST:
            why = "may not specify a duration less than 10 minutes"
            errors = [invalid_value("spec.expirationSeconds", seconds, why)]
            raise invalid("TokenRequest", "authentication.k8s.io", "", errors)
        now = datetime.datetime.now(datetime.UTC)
        expiry = now + datetime.timedelta(seconds=seconds)
        audiences = spec.get("audiences") or [ISSUER]
        private: Object = {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
        }
        if reference := spec.get("boundObjectRef"):
            private |= self._bound(namespace, name, reference)
        claims = {
            "iss": ISSUER,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "aud": audiences,
            "iat": now,
            "nbf": now,
            "exp": expiry,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
        }
        spec = {**spec, "audiences": audiences, "expirationSeconds": seconds}
        spec.setdefault("boundObjectRef", None)
        token = jwt.encode(claims, self._key, algorithm="ES256")
        meta = {"name": name, "namespace": namespace, "creationTimestamp": timestamp(now)}
        status = {"token": token, "expirationTimestamp": timestamp(expiry)}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": meta,
            "spec": spec,
            "status": status,
        }

    def authenticate(self, token: str, audiences: list[str]) -> tuple[User, list[str]]:
        """Return the user of a token and the audiences that match.

        Raises ValueError with the reason if it is invalid.
        """
        if secrets.compare_digest(token.encode(), self.admin.encode()):
            return _ADMIN, audiences
        try:
            claims = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["ES256"],
                issuer=ISSUER,
                options={"verify_aud": False, "require": ["exp", "sub", "kubernetes.io"]},
            )
        except jwt.ExpiredSignatureError:
            raise ValueError("[invalid bearer token, service account token has expired]") from None
        except jwt.PyJWTError:
            raise ValueError("invalid bearer token") from None
        shared = [audience for audience in audiences if audience in claims["aud"]]
        if not shared:
            shown, wanted = (" ".join(f'"{one}"' for one in listed) for listed in (claims["aud"], audiences))
            why = f"token audiences [{shown}] is invalid for the target audiences [{wanted}]"
            raise ValueError(f"[invalid bearer token, {why}]")
        self._check_alive(claims["kubernetes.io"])
        return _service_account(claims), shared

    def review(self, body: Object) -> Object:
        """Answer a TokenReview."""
        spec = body.get("spec") or {}
        if not spec.get("token"):
            raise bad_request("token is required for TokenReview in authentication")
        wanted = spec.get("audiences") or [ISSUER]
        status: Object
        try:
            user, audiences = self.authenticate(spec.get("token") or "", wanted)
            status = {"authenticated": True, "user": user.as_object(), "audiences": audiences}
        except ValueError as error:
            status = {"user": {}, "error": str(error)}
        return {**body, "status": status}

    def _bound(self, namespace: str, account: str, reference: Object) -> Object:
        kind, name = reference.get("kind"), reference.get("name") or ""
        if kind != "Pod":
            raise bad_request(f"cannot bind token to object of type {kind}: only Pods are supported here")
        pod = self._store.get("/pods", (namespace, name))
        if pod is None:
            raise not_found("pods", "", name)
        uid = pod["metadata"]["uid"]
        if reference.get("uid") not in (None, "", uid):
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({uid})"
            raise conflict("pods", "", name, f"{why}. The object might have been deleted and then recreated")
        if (pod["spec"].get("serviceAccountName") or "default") != account:
            why = f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            raise ApiError(400, "BadRequest", why)
        bound: Object = {"pod": {"name": name, "uid": uid}}
        if node := pod["spec"].get("nodeName"):
            kept = self._store.get("/nodes", ("", node))
            bound["node"] = {"name": node} | ({"uid": kept["metadata"]["uid"]} if kept else {})
        return bound

    def _check_alive(self, private: Object) -> None:
        """Raise ValueError if the token's service account, or the pod that it is bound to, no longer exists."""
        namespace = private["namespace"]
        for word, resource, what in (
            ("serviceaccount", "/serviceaccounts", "service account"),
            ("pod", "/pods", "pod"),
        ):
            bound = private.get(word)
            if bound is None:
                continue
            obj = self._store.get(resource, (namespace, bound["name"]))
            if obj is None or obj["metadata"]["uid"] != bound["uid"]:
                raise ValueError(f"[invalid bearer token, {what} UID in token does not match a living {what}]")


def _service_account(claims: dict[str, Any]) -> User:
    private = claims["kubernetes.io"]
    namespace = private["namespace"]
    extra = {f"{_EXTRA}/credential-id": [f"JTI={claims['jti']}"]}
    for word in ("pod", "node"):
        if bound := private.get(word):
            extra[f"{_EXTRA}/{word}-name"] = [bound["name"]]
            if bound.get("uid"):
                extra[f"{_EXTRA}/{word}-uid"] = [bound["uid"]]
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(claims["sub"], groups, private["serviceaccount"]["uid"], extra)
