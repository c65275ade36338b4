"""What the operator's token is good for in other hands: it writes only what a FineTuneJob of the same namespace controls.

On a real API server its roles refuse some of it as well; what the policy says is what is asserted.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.integration.fixtures import finetunejob
from tests.integration.release import NAME, Release
from tests.integration.space import Space

from devcluster.cluster import Cluster
from devcluster.testing.api import APPLY, MERGE, Answer, Api

Json = dict[str, Any]

CONTROLS = "the operator writes only what a FineTuneJob of the same namespace controls"
NO_TOKEN = "pods of the operator's Jobs have no token for the Kubernetes API"
NO_PRIVILEGES = "pods of the operator's Jobs have nothing of their node and no privileges"
OPAQUE = "the operator's Secrets are of type Opaque, which no controller puts a token into"
KUBE = "the operator writes nothing in namespaces kube-*"


SELF: Json = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "a"}}


@dataclass(frozen=True)
class Tenant:
    """A namespace with a FineTuneJob, which is suspended."""

    space: Space
    uid: str

    def path(self, kind: str, name: str = "") -> str:
        return path(self.space.namespace, kind, name)

    @property
    def labels(self) -> Json:
        return {"finetune.dev/job-uid": self.uid}

    @property
    def owner(self) -> Json:
        return {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "name": "a", "uid": self.uid}

    def owned(self, name: str, **changes: Any) -> Json:
        """Metadata as of a child of the FineTuneJob, whose owner reference is changed."""
        return {"name": name, "labels": self.labels, "ownerReferences": [{**self.owner, "controller": True, **changes}]}


@pytest.fixture(scope="module")
def tenant(finetune_crd: Cluster) -> Iterator[Tenant]:
    space = Space(finetune_crd, f"policy-{uuid.uuid4().hex[:8]}")
    space.create()
    space.apply(finetunejob("a", suspend=True))
    yield Tenant(space, space.get("ftj", "a")["metadata"]["uid"])
    space.kubectl("delete", "namespace", space.namespace, "--wait=false")


@pytest.fixture(scope="module")
def thief(release: Release) -> Api:
    """Somebody with the operator's token."""
    return Api(release.kubeconfig)


@pytest.fixture(scope="module")
def admin(finetune_crd: Cluster) -> Api:
    return Api(finetune_crd.kubeconfig)


def path(namespace: str, kind: str, name: str = "") -> str:
    prefixes = {"jobs": "/apis/batch/v1", "networkpolicies": "/apis/networking.k8s.io/v1"}
    prefix = prefixes.get(kind.partition("?")[0], "/api/v1")
    return f"{prefix}/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")


def job(meta: Json, container: Json | None = None, **changes: Any) -> Json:
    closed = {"securityContext": {"allowPrivilegeEscalation": False}}
    container = {"name": "a", "image": "busybox", **closed, **(container or {})}
    pod = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container], **changes}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta,
        "spec": {"suspend": True, "template": {"spec": pod}},
    }


def config_map(meta: Json) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


OURS: Json = {"matchExpressions": [{"key": "finetune.dev/job-uid", "operator": "Exists"}]}


def shared(name: str) -> Json:
    """Metadata as of what the jobs of a namespace share."""
    return {"name": name, "labels": {"finetune.dev/shared": "true"}}


def network_policy(pods: Json, name: str = "finetune-operator-jobs", **changes: Any) -> Json:
    return {"metadata": shared(name), "spec": {"podSelector": pods, "policyTypes": ["Ingress"], **changes}}


def claim(meta: Json) -> Json:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return {"metadata": meta, "spec": spec}


def event(tenant: Tenant, name: str, **about: str) -> Json:
    return {
        "metadata": {"name": name},
        "involvedObject": {**tenant.owner, "namespace": tenant.space.namespace, **about},
    }


def denied(answer: Answer) -> str:
    """What the policy says; empty where the write went through. Whatever else there is fails the test."""
    # What is there already was asked for after the policy had let it through.
    if answer.code < 300 or answer.body["reason"] == "AlreadyExists":
        return ""
    assert answer.code == 403, answer.body
    return answer.message.partition(" denied request: ")[2] or answer.message


CREATIONS: dict[str, tuple[str, Callable[[Tenant], Json]]] = {
    "no owner": ("configmaps", lambda it: config_map({"name": "x", "labels": it.labels})),
    "an owner that does not control it": ("configmaps", lambda it: config_map(it.owned("x", controller=False))),
    "an owner of another kind": ("jobs", lambda it: job(it.owned("x", kind="Job", apiVersion="batch/v1"))),
    "an owner of another API": ("jobs", lambda it: job(it.owned("x", apiVersion="finetune.dev.evil.com/v1"))),
    "another job's label": ("jobs", lambda it: job({**it.owned("x"), "labels": {"finetune.dev/job-uid": "another"}})),
    "no label": ("jobs", lambda it: job({**it.owned("x"), "labels": {}})),
    "a claim of nobody's": ("persistentvolumeclaims", lambda it: claim({"name": "x"})),
    "a Service of nobody's": ("services", lambda it: {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}}),
    "a policy of the shared one's name that opens": (
        "networkpolicies",
        lambda it: network_policy(OURS, ingress=[{}]),
    ),
    "a policy of the shared one's name for the pods of others": ("networkpolicies", lambda it: network_policy({})),
    "a policy of another name": ("networkpolicies", lambda it: network_policy(OURS, name="x")),
    "a ConfigMap of another name than the shared one's": ("configmaps", lambda it: config_map(shared("x"))),
    "an Event about a pod": ("events", lambda it: event(it, "x", kind="Pod", apiVersion="v1")),
}


@pytest.mark.parametrize("what", CREATIONS)
def test_what_no_finetunejob_controls_is_not_created(thief: Api, tenant: Tenant, what: str) -> None:
    kind, body = CREATIONS[what]

    assert denied(thief("POST", tenant.path(kind), body(tenant))) == CONTROLS


def token_volume(**source: Any) -> Json:
    return {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token", **source}}]}}


# Whoever has the token may write any uid: not every FineTuneJob that "controls" is there.
TOO_MUCH: dict[str, tuple[str, Callable[[Json], Json], str]] = {
    "a token mounted by default": ("jobs", lambda meta: job(meta, automountServiceAccountToken=None), NO_TOKEN),
    "a token of the API's audience": ("jobs", lambda meta: job(meta, volumes=[token_volume()]), NO_TOKEN),
    "a token of another audience": ("jobs", lambda meta: job(meta, volumes=[token_volume(audience="vault")]), NO_TOKEN),
    "the node's network": ("jobs", lambda meta: job(meta, hostNetwork=True), NO_PRIVILEGES),
    "the node's processes": ("jobs", lambda meta: job(meta, hostPID=True), NO_PRIVILEGES),
    "the node's files": (
        "jobs",
        lambda meta: job(meta, volumes=[{"name": "h", "hostPath": {"path": "/"}}]),
        NO_PRIVILEGES,
    ),
    "a container that says nothing of privileges": (
        "jobs",
        lambda meta: job(meta, {"securityContext": {}}),
        NO_PRIVILEGES,
    ),
    "a container before the others that says nothing": (
        "jobs",
        lambda meta: job(meta, initContainers=[{"name": "i", "image": "busybox"}]),
        NO_PRIVILEGES,
    ),
    "a Secret that gets an account's token": (
        "secrets",
        lambda meta: {
            "metadata": {**meta, "annotations": {"kubernetes.io/service-account.name": "default"}},
            "type": "kubernetes.io/service-account-token",
        },
        OPAQUE,
    ),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_an_owner_does_not_buy_rights_of_accounts_or_nodes(thief: Api, tenant: Tenant, what: str) -> None:
    kind, body, why = TOO_MUCH[what]

    refused = thief(
        "POST", tenant.path(kind), body(tenant.owned("x", uid="none") | {"labels": {"finetune.dev/job-uid": "none"}})
    )

    assert denied(refused) == why


def test_what_a_finetunejob_controls_is_created_changed_and_deleted(thief: Api, tenant: Tenant) -> None:
    jobs = tenant.path("jobs")

    answers = [
        thief("POST", jobs, job(tenant.owned("ours"))),
        thief("PATCH", f"{jobs}/ours", {"metadata": {"annotations": {"a": "b"}}}, MERGE),
        thief("DELETE", f"{jobs}/ours", {"propagationPolicy": "Background"}),
        # What outlives its job has the label alone.
        thief("POST", tenant.path("persistentvolumeclaims"), claim({"name": "kept", "labels": tenant.labels})),
        # Nor has an owner what the jobs of a namespace share.
        thief(
            "POST",
            tenant.path("persistentvolumeclaims"),
            claim({"name": "all", "labels": {"finetune.dev/cache": "true"}}),
        ),
        thief("POST", path("default", "configmaps?dryRun=All"), config_map(shared("finetune-operator-ca"))),
        thief("POST", path("default", "networkpolicies?dryRun=All"), network_policy(OURS)),
        thief("POST", tenant.path("events"), event(tenant, "about-a-job")),
    ]

    assert [denied(answer) for answer in answers] == [""] * 8


def test_of_claims_without_an_owner_only_one_is_deleted_that_was_made_for_a_job(
    thief: Api, admin: Api, tenant: Tenant
) -> None:
    claims = tenant.path("persistentvolumeclaims")
    ours = f"b-{tenant.uid[:8]}"
    made_for = {ours: tenant.labels, "models": tenant.labels, "of-another-00000000": tenant.labels, "nobody-s": {}}
    for name, labels in made_for.items():
        assert admin("POST", claims, claim({"name": name, "labels": labels})).code == 201

    answers = {name: denied(thief("DELETE", f"{claims}/{name}")) for name in made_for}

    assert answers == {name: "" if name == ours else CONTROLS for name in made_for}


def test_what_others_made_is_neither_changed_nor_taken_over(thief: Api, admin: Api, tenant: Tenant) -> None:
    theirs = tenant.path("jobs", "of-others")
    assert admin("POST", tenant.path("jobs"), job({"name": "of-others"})).code == 201

    changes = [
        thief("PATCH", theirs, {"spec": {"suspend": False}}, MERGE),
        thief("PATCH", theirs, {"metadata": tenant.owned("of-others"), "spec": {"suspend": False}}, MERGE),
        thief("PATCH", f"{theirs}?fieldManager=x&force=true", job(tenant.owned("of-others")), APPLY),
    ]

    assert [denied(answer) for answer in changes] == [CONTROLS] * 3
    found = admin("GET", theirs).body
    assert (found["spec"]["suspend"], found["metadata"].get("ownerReferences")) == (True, None)


def test_no_config_map_of_another_name_than_the_authority_s_is_changed(thief: Api, admin: Api, tenant: Tenant) -> None:
    theirs = tenant.path("configmaps", "theirs")
    assert admin("POST", tenant.path("configmaps"), config_map({"name": "theirs"})).code == 201

    changes = [
        thief("PATCH", theirs, {"metadata": tenant.owned("theirs"), "data": {"run.yaml": "evil"}}, MERGE),
        thief("PATCH", f"{theirs}?fieldManager=x&force=true", config_map(tenant.owned("theirs")), APPLY),
    ]

    assert [answer.code for answer in changes] == [403, 403]
    assert "data" not in admin("GET", theirs).body


def test_what_others_made_is_not_deleted(thief: Api, admin: Api, tenant: Tenant) -> None:
    theirs = tenant.path("jobs", "theirs")
    assert admin("POST", tenant.path("jobs"), job({"name": "theirs"})).code == 201

    refused = thief("DELETE", theirs, {"propagationPolicy": "Background"})

    assert denied(refused) == CONTROLS
    assert admin("GET", theirs).code == 200


def test_a_child_is_not_let_go(thief: Api, tenant: Tenant) -> None:
    jobs = tenant.path("jobs")
    assert thief("POST", jobs, job(tenant.owned("held"))).code == 201

    answer = thief("PATCH", f"{jobs}/held", {"metadata": {"ownerReferences": None}}, MERGE)

    assert denied(answer) == CONTROLS


@pytest.mark.parametrize("kind", ["configmaps", "jobs"])
def test_nothing_is_written_in_the_namespaces_of_kubernetes(thief: Api, tenant: Tenant, kind: str) -> None:
    body = job(tenant.owned("x")) if kind == "jobs" else config_map(tenant.owned("x"))

    assert denied(thief("POST", path("kube-system", kind), body)) == KUBE


def test_of_its_own_namespace_s_secrets_only_its_own_is_written(thief: Api, release: Release) -> None:
    secrets = path(release.home.namespace, "secrets?dryRun=All")

    another, own = (thief("POST", secrets, {"metadata": {"name": name}}) for name in ("another", f"{NAME}-reports"))

    assert (denied(another), own.code in (201, 409)) == (CONTROLS, True)


def test_of_its_own_namespace_s_config_maps_only_that_of_what_is_used_is_written(thief: Api, release: Release) -> None:
    config_maps = path(release.home.namespace, "configmaps?dryRun=All")

    another, own = (thief("POST", config_maps, config_map({"name": name})) for name in ("another", f"{NAME}-reports"))

    assert (denied(another), own.code in (201, 409)) == (CONTROLS, True)


def test_of_profiles_only_the_default_is_made(thief: Api) -> None:
    profiles = "/apis/finetune.dev/v1alpha1/finetuneprofiles?dryRun=All"
    bodies = [
        {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneProfile", "metadata": {"name": name}, "spec": {}}
        for name in ("loose", "default")
    ]

    another, default = (thief("POST", profiles, body) for body in bodies)

    assert (denied(another), default.code in (201, 409)) == (CONTROLS, True)


@pytest.fixture
def account(tenant: Tenant, admin: Api, enforced_rights: None) -> Callable[[str, list[str]], str]:
    """Makes an account of the namespace that may update these resources of FineTuneJobs; returns its token."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{tenant.space.namespace}"

    def make(name: str, resources: list[str]) -> str:
        rule = {"apiGroups": ["finetune.dev"], "resources": resources, "verbs": ["get", "patch", "update"]}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subject = {"kind": "ServiceAccount", "name": name, "namespace": tenant.space.namespace}
        made = [
            admin("POST", tenant.path("serviceaccounts"), {"metadata": {"name": name}}),
            admin("POST", f"{rbac}/roles", {"metadata": {"name": name}, "rules": [rule]}),
            admin("POST", f"{rbac}/rolebindings", {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}),
            admin("POST", f"{tenant.path('serviceaccounts', name)}/token", {"spec": {}}),
        ]
        assert [answer.code for answer in made] == [201] * 4
        return str(made[-1].body["status"]["token"])

    return make


def test_nobody_writes_the_status_of_a_job_but_operators_of_any_release(
    admin: Api, thief: Api, tenant: Tenant, account: Callable[[str, list[str]], str]
) -> None:
    status = f"/apis/finetune.dev/v1alpha1/namespaces/{tenant.space.namespace}/finetunejobs/a/status"
    kept = {"name": "default", "digest": "sha256:" + "0" * 64, "settings": '{"defaults":{"image":"evil/image"}}'}
    live = admin("GET", status).body
    forged = {**live, "status": {**live.get("status", {}), "profile": kept}}
    writer = account("writer", ["finetunejobs", "finetunejobs/status"])
    operator = account("another-operator", ["finetunejobs", "finetunejobs/status", "finetunejobs/profile"])

    refused = [
        admin("PATCH", status, {"status": {"profile": kept}}, MERGE, token=writer),
        admin(
            "PATCH", f"{status}?fieldManager=x&force=true", {**SELF, "status": {"profile": kept}}, APPLY, token=writer
        ),
        admin("PUT", status, forged, token=writer),
        admin("PATCH", status, {"status": {"usage": {"until": "2026-11-20T12:00:00Z"}}}, MERGE, token=writer),
    ]
    others = [
        admin("PATCH", status, {"status": change}, MERGE, token=writer)
        for change in (
            {"phase": "Failed"},
            {"attempts": [{"number": 1, "pod": "p", "podSeconds": 9}]},
            {"message": "x"},
        )
    ]
    unchanged = admin("PATCH", status, {}, MERGE, token=writer)
    by_operators = [
        admin("PATCH", f"{status}?dryRun=All", {"status": {"profile": kept}}, MERGE, token=operator),
        thief("PUT", f"{status}?dryRun=All", {**admin("GET", status).body, "status": {"profile": kept}}),
    ]

    assert [denied(answer) for answer in [*refused, *others]] == [
        "status is written by the operator alone, and by who may update finetunejobs/profile"
    ] * 7
    assert unchanged.code == 200, unchanged.body
    assert [answer.code for answer in by_operators] == [200, 200]


def test_others_are_not_bound_by_it(admin: Api, tenant: Tenant) -> None:
    assert admin("POST", tenant.path("configmaps"), config_map({"name": "free"})).code == 201
