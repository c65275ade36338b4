"""ValidatingAdmissionPolicies: alike on the dev cluster and on a real one."""

from collections.abc import Iterator

import pytest

from devcluster.testing.api import MERGE, Answer, Api, Object, eventually

PATH = "/apis/admissionregistration.k8s.io/v1"
NAME = "levels.tests.example.com"
POLICY: Object = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": NAME},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                    "resources": ["configmaps"],
                }
            ]
        },
        "matchConditions": [
            {"name": "not-the-robot", "expression": "!request.userInfo.username.endsWith(':robot')"},
        ],
        "variables": [
            {"name": "it", "expression": "request.operation == 'DELETE' ? oldObject : object"},
            {
                "name": "labels",
                "expression": "has(variables.it.metadata.labels) ? variables.it.metadata.labels : dyn({})",
            },
            {"name": "level", "expression": "'tests/level' in variables.labels ? variables.labels['tests/level'] : ''"},
        ],
        "validations": [
            {"expression": "variables.level != 'bad'", "message": "level is bad"},
            {"expression": "variables.level != 'large'", "messageExpression": "'it is ' + variables.level"},
            {
                "expression": "oldObject == null || variables.level == '' || (object != null && object.data == oldObject.data)",
                "reason": "Forbidden",
            },
            {"expression": "variables.level != 'broken' || object.data.none == 'x'"},
        ],
    },
}
BINDING: Object = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": NAME},
    "spec": {"policyName": NAME, "validationActions": ["Deny"]},
}


def config_map(name: str, level: str = "") -> Object:
    labels = {"tests/level": level} if level else {}
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}}


@pytest.fixture(scope="module")
def policy(api: Api) -> Iterator[None]:
    """The policy in force."""
    assert api("POST", f"{PATH}/validatingadmissionpolicies", POLICY).code == 201
    assert api("POST", f"{PATH}/validatingadmissionpolicybindings", BINDING).code == 201
    probe = "/api/v1/namespaces/default/configmaps?dryRun=All"
    eventually(lambda: api("POST", probe, config_map("probe", "bad")).code == 422, "the policy to be in force")
    yield
    for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        api("DELETE", f"{PATH}/{plural}/{NAME}")


@pytest.fixture
def configmaps(policy: None, namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def token_of(api: Api, namespace: str, name: str) -> str:
    """The token of a new service account that may do everything in the namespace."""
    rbac = {"apiGroup": "rbac.authorization.k8s.io"}
    account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    binding = {
        "metadata": {"name": name},
        "roleRef": {**rbac, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [account],
    }
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    assert api("POST", accounts, {"metadata": {"name": name}}).code == 201
    assert api("POST", bindings, binding).code == 201
    return str(api("POST", f"{accounts}/{name}/token", {"spec": {"audiences": []}}).body["status"]["token"])


def denied(answer: Answer) -> tuple[int, str, str]:
    """(code, reason, what the policy says)"""
    return answer.code, answer.body["reason"], answer.message.partition(" denied request: ")[2]


@pytest.mark.parametrize(
    ("level", "message"),
    [("bad", "level is bad"), ("large", "it is large")],
)
def test_a_wrong_object_is_denied_with_the_policys_message(api: Api, configmaps: str, level: str, message: str) -> None:
    answer = api("POST", configmaps, config_map("a", level))

    text = f"ValidatingAdmissionPolicy '{NAME}' with binding '{NAME}' denied request: {message}"
    assert answer.code == 422
    assert answer.message == f'configmaps "a" is forbidden: {text}'
    assert answer.body["details"]["causes"] == [{"message": text}]


def test_an_expression_that_fails_denies(api: Api, configmaps: str) -> None:
    code, reason, message = denied(api("POST", configmaps, config_map("a", "broken")))

    assert (code, reason) == (422, "Invalid")
    assert message.startswith("expression 'variables.level != 'broken' || object.data.none == 'x'' resulted in error: ")


def test_an_update_is_compared_with_the_old_object(api: Api, configmaps: str) -> None:
    assert api("POST", configmaps, config_map("a", "fixed")).code == 201

    labelled = api("PATCH", f"{configmaps}/a", {"metadata": {"labels": {"x": "y"}}}, MERGE)
    changed = api("PATCH", f"{configmaps}/a", {"data": {"k": "w"}}, MERGE)

    assert labelled.code == 200
    expression = POLICY["spec"]["validations"][2]["expression"]
    assert denied(changed) == (403, "Forbidden", f"failed expression: {expression}")


def test_a_deletion_is_judged_by_the_old_object(api: Api, configmaps: str) -> None:
    for name, level in (("a", "fixed"), ("b", "")):
        assert api("POST", configmaps, config_map(name, level)).code == 201

    refused, allowed = (api("DELETE", f"{configmaps}/{name}") for name in "ab")

    assert (denied(refused)[:2], allowed.code) == ((403, "Forbidden"), 200)
    assert api("GET", f"{configmaps}/a").code == 200


def test_a_policy_is_for_those_whom_its_conditions_name(api: Api, configmaps: str, namespace: str) -> None:
    tokens = {name: token_of(api, namespace, name) for name in ("robot", "person")}

    codes = {name: api("POST", configmaps, config_map(name, "bad"), token=token).code for name, token in tokens.items()}

    assert codes == {"robot": 201, "person": 422}


def test_other_kinds_are_let_through(api: Api, configmaps: str, namespace: str) -> None:
    secret = {**config_map("a", "bad"), "kind": "Secret", "data": {}}

    assert api("POST", f"/api/v1/namespaces/{namespace}/secrets", secret).code == 201


def test_a_policy_must_compile(api: Api) -> None:
    validations = [{"expression": "nope == 1"}, {"expression": "object.x +"}, {"expression": "'a'"}]
    wrong = {
        **POLICY,
        "metadata": {"name": "wrong.example.com"},
        "spec": {**POLICY["spec"], "validations": validations},
    }

    refused = api("POST", f"{PATH}/validatingadmissionpolicies", wrong)

    assert (refused.code, refused.fields) == (422, {f"spec.validations[{index}].expression" for index in range(3)})
    assert "undeclared reference to 'nope'" in refused.message
    assert "must evaluate to bool" in refused.message


CLASSES: Object = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "classes.tests.example.com"},
    "spec": {
        "paramKind": {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"},
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["configmaps"]}
            ]
        },
        "variables": [
            {"name": "own", "expression": "namespaceObject.metadata.labels[?'tests/class'].orValue('')"},
        ],
        "validations": [
            {
                "expression": "params.metadata.name != variables.own || size(object.data.k) <= params.value",
                "messageExpression": "'at most ' + string(params.value) + ' by ' + params.metadata.name",
            }
        ],
    },
}


@pytest.fixture
def classes(api: Api, namespace: str) -> Iterator[str]:
    """A policy with each PriorityClass as its parameter, in force; yields the namespace, whose class allows two letters."""
    made = [
        ("/apis/scheduling.k8s.io/v1/priorityclasses", "tests-two", {"value": 2}),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", "tests-one", {"value": 1}),
    ]
    for path, name, more in made:
        body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, **more}
        assert api("POST", path, body).code == 201
    parameters = {"selector": {}, "parameterNotFoundAction": "Allow"}
    name = CLASSES["metadata"]["name"]
    binding = {
        **BINDING,
        "metadata": {"name": name},
        "spec": {**BINDING["spec"], "policyName": name, "paramRef": parameters},
    }
    assert api("POST", f"{PATH}/validatingadmissionpolicies", CLASSES).code == 201
    assert api("POST", f"{PATH}/validatingadmissionpolicybindings", binding).code == 201
    labelled = {"metadata": {"labels": {"tests/class": "tests-two"}}}
    assert api("PATCH", f"/api/v1/namespaces/{namespace}", labelled, MERGE).code == 200
    probe = f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All"
    eventually(lambda: api("POST", probe, config_map_of("123")).code == 422, "the policy to be in force")
    yield namespace
    for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        api("DELETE", f"{PATH}/{plural}/{name}")
    for path, each, _ in made:
        api("DELETE", f"{path}/{each}")


def config_map_of(value: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "any"}, "data": {"k": value}}


def test_a_policy_is_evaluated_for_each_parameter_and_sees_the_namespace_of_the_object(classes: str, api: Api) -> None:
    path = f"/api/v1/namespaces/{classes}/configmaps?dryRun=All"

    refused = api("POST", path, config_map_of("123"))

    assert "'classes.tests.example.com' denied request: at most 2 by tests-two" in refused.message
    assert api("POST", path, config_map_of("12")).code == 201
    assert api("POST", "/api/v1/namespaces/default/configmaps?dryRun=All", config_map_of("123")).code == 201
