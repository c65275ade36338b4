"""Server-side apply: alike on the dev cluster and on a real API server."""

import pytest
from tests.integration.objects import config_map

from devcluster.testing.api import APPLY, MERGE, Api, Object


def apply(api: Api, path: str, manager: str, body: object, force: bool = False):
    return api("PATCH", f"{path}?fieldManager={manager}&force={str(force).lower()}", body, APPLY)


def test_an_apply_creates_then_agrees_without_a_new_version(api: Api, configmaps: str) -> None:
    created = apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))
    again = apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))

    assert (created.code, again.code) == (201, 200)
    assert again.body == created.body
    entry = created.body["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"]) == ("one", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:k": {}}}


def test_another_manager_conflicts_unless_it_forces(api: Api, configmaps: str) -> None:
    apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))

    refused = apply(api, f"{configmaps}/a", "two", config_map("a", k="2"))
    forced = apply(api, f"{configmaps}/a", "two", config_map("a", k="2"), force=True)

    assert (refused.code, refused.message) == (409, 'Apply failed with 1 conflict: conflict with "one": .data.k')
    assert refused.fields == {".data.k"}
    assert forced.body["data"] == {"k": "2"}


def test_what_a_manager_no_longer_sends_goes_unless_another_owns_it(api: Api, configmaps: str) -> None:
    apply(api, f"{configmaps}/a", "one", config_map("a", mine="1", ours="1"))
    apply(api, f"{configmaps}/a", "two", config_map("a", ours="1"))

    left = apply(api, f"{configmaps}/a", "one", config_map("a"))

    assert left.body["data"] == {"ours": "1"}


def test_a_field_that_an_update_took_conflicts(api: Api, configmaps: str) -> None:
    apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))
    api("PATCH", f"{configmaps}/a?fieldManager=editor", {"data": {"k": "2"}}, MERGE)

    refused = apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))

    assert refused.code == 409
    assert 'conflict with "editor" using v1' in refused.message


def test_containers_are_merged_by_name_and_removed_whole(api: Api, namespace: str) -> None:
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/a"

    def job(*containers: Object) -> Object:
        template = {"spec": {"restartPolicy": "Never", "containers": list(containers)}}
        spec = {"suspend": True, "template": template}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": spec}

    first = {"name": "a", "image": "x:1", "env": [{"name": "A", "value": "1"}]}
    created = apply(api, path, "one", job(first))
    refused = apply(api, path, "one", job({"name": "b", "image": "x:1"}))

    assert created.code == 201
    assert refused.code == 422
    owned = created.body["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:template"]["f:spec"]
    assert owned["f:containers"] == {
        'k:{"name":"a"}': {
            ".": {},
            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
            "f:image": {},
            "f:name": {},
        }
    }


@pytest.mark.parametrize(
    ("manager", "body", "code", "message"),
    [
        ("", config_map("a"), 422, "fieldManager: Required value: is required for apply patch"),
        ("one", {"kind": "ConfigMap", "metadata": {"name": "a"}}, 400, "invalid object type: /, Kind=ConfigMap"),
        ("one", {**config_map("a"), "foo": 1}, 500, ".foo: field not declared in schema"),
    ],
)
def test_a_bad_apply_is_refused(api: Api, configmaps: str, manager: str, body: object, code: int, message: str) -> None:
    refused = apply(api, f"{configmaps}/a", manager, body)

    assert refused.code == code
    assert message in refused.message
