"""Create, update, patch and delete: alike on the dev cluster and on a real API server."""

import pytest
from tests.integration.objects import config_map

from devcluster.testing.api import JSON, JSON_PATCH, MERGE, STRATEGIC, Api, Object, eventually
from devcluster.testing.plugin import Kubectl


def test_an_object_gets_identity_and_comes_back_as_stored(api: Api, configmaps: str, namespace: str) -> None:
    created = api("POST", configmaps, config_map("a", k="v"))

    assert created.code == 201
    meta = created.body["metadata"]
    assert {**created.body, "metadata": {}} == {**config_map("a", k="v"), "metadata": {}}
    assert (meta["name"], meta["namespace"], "generation" in meta) == ("a", namespace, False)
    assert {"uid", "creationTimestamp", "resourceVersion", "managedFields"} <= set(meta)
    assert api("GET", f"{configmaps}/a").body == created.body


def test_a_name_can_be_generated(api: Api, configmaps: str) -> None:
    body = {**config_map("", k="v"), "metadata": {"generateName": "gen-"}}

    names = {api("POST", configmaps, body).body["metadata"]["name"] for _ in range(3)}

    assert len(names) == 3
    assert all(name.startswith("gen-") and len(name) == 9 for name in names)


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "reason", "message"),
    [
        ("GET", "/absent", None, 404, "NotFound", 'configmaps "absent" not found'),
        ("POST", "", config_map("Bad_Name"), 422, "Invalid", "a lowercase RFC 1123 subdomain must consist of"),
        ("POST", "", config_map(""), 422, "Invalid", "name or generateName is required"),
        ("POST", "", {**config_map("x"), "apiVersion": "v2"}, 400, "BadRequest", 'no kind "ConfigMap" is registered'),
        (
            "POST",
            "",
            {**config_map("x"), "data": {"k": 1}},
            400,
            "BadRequest",
            "cannot unmarshal number into Go struct",
        ),
        ("POST", "", {**config_map("x"), "data": {"a b": ""}}, 422, "Invalid", "a valid config key must consist of"),
        ("PUT", "/x", config_map("y"), 400, "BadRequest", "does not match the name on the URL (x)"),
        ("POST", "/x", config_map("x"), 405, "MethodNotAllowed", "the server does not allow this method"),
        ("POST", "", '{"a":', 400, "BadRequest", "must be of type"),
    ],
)
def test_a_bad_request_is_refused(
    api: Api, configmaps: str, method: str, path: str, body: object, code: int, reason: str, message: str
) -> None:
    refused = api(method, configmaps + path, body)

    assert (refused.code, refused.body["reason"]) == (code, reason)
    assert message in refused.message


def test_json_is_the_default_media_type(api: Api, configmaps: str) -> None:
    assert api("POST", configmaps, config_map("a"), content_type="text/plain").code == 415
    assert api("POST", configmaps, config_map("a"), content_type=JSON).code == 201


def test_a_namespace_must_exist(api: Api) -> None:
    refused = api("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("x"))

    assert (refused.code, refused.message) == (404, 'namespaces "nowhere" not found')


def test_a_name_is_taken_once(api: Api, configmaps: str) -> None:
    api("POST", configmaps, config_map("a"))

    refused = api("POST", configmaps, config_map("a"))

    assert (refused.code, refused.body["reason"], refused.message) == (
        409,
        "AlreadyExists",
        'configmaps "a" already exists',
    )


def test_an_update_from_a_stale_copy_conflicts(api: Api, configmaps: str) -> None:
    stale = api("POST", configmaps, config_map("a", k="1")).body
    fresh = api("PUT", f"{configmaps}/a", {**stale, "data": {"k": "2"}})

    refused = api("PUT", f"{configmaps}/a", {**stale, "data": {"k": "3"}})

    assert fresh.code == 200
    assert int(fresh.body["metadata"]["resourceVersion"]) > int(stale["metadata"]["resourceVersion"])
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in refused.message


def test_an_update_that_changes_nothing_makes_no_new_version(api: Api, configmaps: str) -> None:
    before = api("POST", configmaps, config_map("a", k="1")).body

    after = api("PATCH", f"{configmaps}/a", {"data": {"k": "1"}}, MERGE).body

    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("content_type", "patch", "data"),
    [
        (MERGE, {"data": {"a": None, "c": "3"}}, {"b": "2", "c": "3"}),
        (JSON_PATCH, [{"op": "replace", "path": "/data/a", "value": "9"}], {"a": "9", "b": "2"}),
        (STRATEGIC, {"data": {"$patch": "replace", "z": "0"}}, {"z": "0"}),
    ],
)
def test_each_kind_of_patch(api: Api, configmaps: str, content_type: str, patch: object, data: Object) -> None:
    api("POST", configmaps, config_map("a", a="1", b="2"))

    patched = api("PATCH", f"{configmaps}/a", patch, content_type)

    assert (patched.code, patched.body["data"]) == (200, data)


def test_a_json_patch_whose_test_fails_changes_nothing(api: Api, configmaps: str) -> None:
    api("POST", configmaps, config_map("a", a="1"))

    refused = api("PATCH", f"{configmaps}/a", [{"op": "test", "path": "/data/a", "value": "2"}], JSON_PATCH)

    assert (refused.code, refused.body["reason"]) == (422, "Invalid")


def test_unknown_fields_are_refused_warned_of_or_ignored(api: Api, configmaps: str) -> None:
    body = {**config_map("a"), "spec": {}}

    strict = api("POST", f"{configmaps}?fieldValidation=Strict", body)
    warned = api("POST", configmaps, body)
    ignored = api("POST", f"{configmaps}?fieldValidation=Ignore", {**body, "metadata": {"name": "b"}})

    assert (strict.code, strict.message) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "spec"',
    )
    assert (warned.code, warned.warnings) == (201, ('299 - "unknown field \\"spec\\""',))
    assert (ignored.code, ignored.warnings) == (201, ())
    assert "spec" not in warned.body


def test_a_dry_run_changes_nothing(api: Api, configmaps: str) -> None:
    tried = api("POST", f"{configmaps}?dryRun=All", config_map("a"))

    assert (tried.code, tried.body["metadata"]["name"]) == (201, "a")
    assert api("GET", f"{configmaps}/a").code == 404


def test_deletion_says_what_it_deleted(api: Api, configmaps: str) -> None:
    uid = api("POST", configmaps, config_map("a")).body["metadata"]["uid"]

    refused = api("DELETE", f"{configmaps}/a", {"preconditions": {"uid": "another"}})
    deleted = api("DELETE", f"{configmaps}/a")

    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert (deleted.code, deleted.body["status"]) == (200, "Success")
    assert deleted.body["details"] == {"name": "a", "kind": "configmaps", "uid": uid}
    assert api("GET", f"{configmaps}/a").code == 404


def test_finalizers_hold_an_object_until_they_are_gone(api: Api, configmaps: str) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    api("POST", configmaps, body)

    marked = api("DELETE", f"{configmaps}/a")
    added = api("PATCH", f"{configmaps}/a", {"metadata": {"finalizers": ["example.com/b", "example.com/hold"]}}, MERGE)
    released = api("PATCH", f"{configmaps}/a", {"metadata": {"finalizers": None}}, MERGE)

    assert (marked.code, "deletionTimestamp" in marked.body["metadata"]) == (200, True)
    assert (added.code, added.fields) == (422, {"metadata.finalizers"})
    assert released.code == 200
    assert api("GET", f"{configmaps}/a").code == 404


def test_a_namespace_that_is_being_deleted_takes_nothing_new(api: Api, kubectl: Kubectl) -> None:
    body = {"metadata": {"name": "test-ending", "finalizers": ["example.com/hold"]}}
    api("POST", "/api/v1/namespaces", body)
    api("DELETE", "/api/v1/namespaces/test-ending")

    refused = api("POST", "/api/v1/namespaces/test-ending/configmaps", config_map("a"))
    api("PATCH", "/api/v1/namespaces/test-ending", {"metadata": {"finalizers": None}}, MERGE)

    assert (refused.code, refused.body["reason"]) == (403, "Forbidden")
    assert "because it is being terminated" in refused.message
    eventually(lambda: api("GET", "/api/v1/namespaces/test-ending").code == 404, "the namespace to go")
