"""The rights that the chart gives: to the operator, to users, and to nobody else."""

import pytest
from tests.unit.chart.values import LABELS, NAMESPACED_RULES, Json, Render


def test_without_notifications_no_secret_of_a_tenant_is_read_and_nobody_else_is_reached(render: Render) -> None:
    objects = render(notify={"enabled": False}, rbac={"userRoles": False})

    rules = objects["ClusterRole/ft-system:ft-finetune-operator"]["rules"]
    assert [rule for rule in rules if "secrets" in rule["resources"]] == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}
    ]
    assert len(objects["NetworkPolicy/ft-finetune-operator"]["spec"]["egress"]) == 2


TOKEN_RULE = {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
PROFILES: Json = {"apiGroups": ["finetune.dev"], "resources": ["finetuneprofiles"]}
NAMESPACE_RULE = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}
PROFILE_RULES = [{**PROFILES, "verbs": ["get", "list", "watch"]}, NAMESPACE_RULE]
MAKES_DEFAULT = {**PROFILES, "verbs": ["create"]}
HOME_RULES = [
    {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["ft-finetune-operator-reports"],
        "verbs": ["get", "update"],
    },
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["ft-finetune-operator-reports"],
        "verbs": ["get", "update"],
    },
    {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["ft-finetune-operator-reports"],
        "verbs": ["get", "patch"],
    },
    {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "resourceNames": ["ft-finetune-operator-leader"],
        "verbs": ["patch"],
    },
    {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["create"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "list"]},
    {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices", "endpointslices/restricted"],
        "verbs": ["create"],
    },
]


def test_the_operator_has_these_rights_in_all_namespaces_and_no_more(render: Render) -> None:
    objects = render(rbac={"userRoles": False})

    rules = {name: each["rules"] for name, each in objects.items() if "rules" in each}
    assert rules == {
        "ClusterRole/ft-system:ft-finetune-operator": [TOKEN_RULE, *PROFILE_RULES, MAKES_DEFAULT, *NAMESPACED_RULES],
        "Role/ft-finetune-operator-reports": HOME_RULES,
    }


@pytest.mark.parametrize(("profile", "made"), [("safe", True), ("open", True), ("none", False)])
def test_the_operator_may_make_the_default_profile_where_it_shall(render: Render, profile: str, made: bool) -> None:
    objects = render(profile=profile)

    container = objects["Deployment/ft-finetune-operator"]["spec"]["template"]["spec"]["containers"][0]
    rules = objects["ClusterRole/ft-system:ft-finetune-operator"]["rules"]
    assert {"name": "FINETUNE_OPERATOR_DEFAULT_PROFILE", "value": profile} in container["env"]
    assert (MAKES_DEFAULT in rules) == made


def test_with_namespaces_what_is_namespaced_is_given_in_them_alone(render: Render) -> None:
    objects = render(watchNamespaces=["team-a", "team-b"], rbac={"userRoles": False})

    rules = {name: each["rules"] for name, each in objects.items() if "rules" in each}
    assert rules == {
        "ClusterRole/ft-system:ft-finetune-operator": [
            TOKEN_RULE,
            PROFILE_RULES[0],
            {**NAMESPACE_RULE, "resourceNames": ["team-a", "team-b"]},
            MAKES_DEFAULT,
        ],
        "Role/team-a/ft-finetune-operator": NAMESPACED_RULES,
        "Role/team-b/ft-finetune-operator": NAMESPACED_RULES,
        "Role/ft-finetune-operator-reports": HOME_RULES,
    }


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["team-a", "team-b"]}])
def test_every_role_is_bound_to_the_operator_alone(render: Render, values: Json) -> None:
    objects = render(rbac={"userRoles": False}, **values)

    roles = {name for name in objects if name.startswith(("Role/", "ClusterRole/"))}
    account = {"kind": "ServiceAccount", "name": "ft-finetune-operator", "namespace": "ft-system"}
    bindings = {name: each for name, each in objects.items() if "RoleBinding/" in name}
    assert {name.replace("RoleBinding/", "Role/") for name in bindings} == roles
    for name, binding in bindings.items():
        kind, role = name.replace("RoleBinding/", "Role/").split("/")[:: len(name.split("/")) - 1]
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (kind, role)
        assert binding["subjects"] == [account]


def test_kubernetes_own_roles_gain_finetunejobs(render: Render) -> None:
    objects = render()

    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    gained = {
        role: (
            sorted(key.removeprefix(prefix) for key in each["metadata"]["labels"] if key.startswith(prefix)),
            each["rules"],
        )
        for role in ("view", "edit")
        for each in [objects[f"ClusterRole/ft-system:ft-finetune-operator:{role}"]]
    }
    api = {"apiGroups": ["finetune.dev"]}
    assert gained == {
        "view": (
            ["admin", "edit", "view"],
            [
                {
                    **api,
                    "resources": ["finetunejobs", "finetunejobs/status", "finetuneprofiles"],
                    "verbs": ["get", "list", "watch"],
                }
            ],
        ),
        "edit": (
            ["admin", "edit"],
            [
                {
                    **api,
                    "resources": ["finetunejobs"],
                    "verbs": ["create", "delete", "deletecollection", "patch", "update"],
                }
            ],
        ),
    }


def test_who_rules_what_is_allowed_is_nobody_until_an_administrator_says_so(render: Render) -> None:
    objects = render()

    role = objects["ClusterRole/ft-system:ft-finetune-operator:profile-admin"]
    verbs = ["get", "list", "watch", "create", "delete", "deletecollection", "patch", "update"]
    assert role["rules"] == [{"apiGroups": ["finetune.dev"], "resources": ["finetuneprofiles"], "verbs": verbs}]
    assert role["metadata"]["labels"] == LABELS
    bound = [each["roleRef"]["name"] for name, each in objects.items() if "RoleBinding/" in name]
    assert "ft-system:ft-finetune-operator:profile-admin" not in bound


def test_everybody_may_look_at_what_is_allowed(render: Render) -> None:
    objects = render()

    rules = [{"apiGroups": ["finetune.dev"], "resources": ["finetuneprofiles"], "verbs": ["get", "list", "watch"]}]
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
    assert objects["ClusterRole/ft-system:ft-finetune-operator:profile-view"]["rules"] == rules
    assert objects["ClusterRoleBinding/ft-system:ft-finetune-operator:profile-view"]["subjects"] == [group]


def test_rights_and_account_can_be_left_to_somebody_else(render: Render) -> None:
    objects = render(
        rbac={"create": False, "userRoles": False, "admissionPolicy": False},
        networkPolicy={"enabled": False},
        podDisruptionBudget={"enabled": False},
        serviceAccount={"create": False, "name": "given"},
        crds={"install": False},
    )

    assert sorted(objects) == [
        "Deployment/ft-finetune-operator",
        "Service/ft-finetune-operator",
        "Service/ft-finetune-operator-metrics",
    ]
    assert objects["Deployment/ft-finetune-operator"]["spec"]["template"]["spec"]["serviceAccountName"] == "given"


def test_kueue_is_read_and_its_workloads_deactivated_where_it_is_asked_for(render: Render) -> None:
    kueue = [
        {"apiGroups": ["kueue.x-k8s.io"], "resources": ["workloads"], "verbs": ["list", "patch"]},
        {
            "apiGroups": ["visibility.kueue.x-k8s.io"],
            "resources": ["localqueues/pendingworkloads"],
            "verbs": ["get"],
        },
    ]

    objects = render(kueue=True, watchNamespaces=["team-a"])

    assert objects["Role/team-a/ft-finetune-operator"]["rules"] == [*NAMESPACED_RULES, *kueue]
    container = objects["Deployment/ft-finetune-operator"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "FINETUNE_OPERATOR_KUEUE", "value": "true"} in container["env"]
