"""Tokens of service accounts: alike on the dev cluster and on a real API server."""

from tests.integration.objects import unschedulable_pod

from devcluster.testing.api import Api, Object, eventually


def bound_token(api: Api, namespace: str, audience: str) -> tuple[str, Object]:
    pod = api("POST", f"/api/v1/namespaces/{namespace}/pods", unschedulable_pod()).body
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}
    spec = {"audiences": [audience], "boundObjectRef": reference, "expirationSeconds": 600}
    issued = api("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token", {"spec": spec})
    assert issued.code == 201
    return issued.body["status"]["token"], pod


def review(api: Api, token: str, *audiences: str) -> Object:
    spec = {"token": token, "audiences": list(audiences)}
    answer = api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": spec})
    assert answer.code == 201
    return answer.body["status"]


def test_a_bound_token_names_its_pod_to_its_audience_alone(api: Api, namespace: str) -> None:
    token, pod = bound_token(api, namespace, "reports")

    status, other = review(api, token, "reports"), review(api, token, "elsewhere")

    user = status["user"]
    assert (status["authenticated"], status["audiences"]) == (True, ["reports"])
    assert user["username"] == f"system:serviceaccount:{namespace}:default"
    assert user["groups"] == [
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        "system:authenticated",
    ]
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    assert user["extra"]["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]
    assert (other.get("authenticated"), "invalid bearer token" in other["error"]) == (None, True)


def test_a_token_ends_with_its_pod(api: Api, namespace: str) -> None:
    token, _ = bound_token(api, namespace, "reports")
    api("DELETE", f"/api/v1/namespaces/{namespace}/pods/p", {"gracePeriodSeconds": 0})

    # A real server remembers a token that it found good for ten seconds.
    eventually(lambda: not review(api, token, "reports").get("authenticated"), "the token to end")


def test_a_token_lives_ten_minutes_at_least(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"

    refused = api("POST", path, {"spec": {"expirationSeconds": 5}})

    assert (refused.code, refused.fields) == (422, {"spec.expirationSeconds"})


def test_a_foreign_token_opens_nothing(api: Api) -> None:
    assert api("GET", "/api/v1/namespaces", token="foreign").code == 401
