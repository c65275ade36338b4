"""What clients rely on in an API server, asserted alike of the dev cluster and of a real one."""

import pytest

from devcluster.testing.api import APPLY, JSON, JSON_PATCH, MERGE, STRATEGIC, TABLE, Api, Object, eventually
from devcluster.testing.plugin import Kubectl


@pytest.fixture
def configmaps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


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


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("labelSelector=tier%3Dfront", ["a", "b"]),
        ("labelSelector=tier!%3Dfront", ["c"]),
        ("labelSelector=tier%20in%20(front,back),env", ["b", "c"]),
        ("labelSelector=tier,env%20notin%20(prod)", ["a", "c"]),
        ("labelSelector=tier,!env", ["a"]),
        ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=metadata.name!%3Db&labelSelector=env", ["c"]),
    ],
)
def test_lists_are_selected_by_labels_and_fields(api: Api, configmaps: str, selector: str, names: list[str]) -> None:
    for name, labels in (
        ("a", {"tier": "front"}),
        ("b", {"tier": "front", "env": "prod"}),
        ("c", {"tier": "back", "env": "test"}),
    ):
        api("POST", configmaps, {**config_map(name), "metadata": {"name": name, "labels": labels}})

    listed = api("GET", f"{configmaps}?{selector}").body["items"]

    # Controllers of a real cluster add ConfigMaps of their own to every namespace, which ones depends on its make.
    assert [item["metadata"]["name"] for item in listed if item["metadata"]["name"] in ("a", "b", "c")] == names


def test_a_long_list_comes_in_pages(api: Api, configmaps: str) -> None:
    for number in range(5):
        api("POST", configmaps, {**config_map("x"), "metadata": {"name": f"m{number}", "labels": {"page": "yes"}}})

    names: list[str] = []
    after = ""
    for _ in range(3):
        page = api("GET", f"{configmaps}?limit=2&labelSelector=page&continue={after}").body
        names += [item["metadata"]["name"] for item in page["items"]]
        after = page["metadata"].get("continue", "")

    assert (names, after) == ([f"m{number}" for number in range(5)], "")


def test_a_watch_resumes_where_the_list_ended(api: Api, configmaps: str) -> None:
    version = api("GET", configmaps).body["metadata"]["resourceVersion"]
    api("POST", configmaps, config_map("w", k="1"))
    api("PATCH", f"{configmaps}/w", {"data": {"k": "2"}}, MERGE)
    api("DELETE", f"{configmaps}/w")

    seen = []
    for kind, obj in api.watch(configmaps, f"resourceVersion={version}&fieldSelector=metadata.name%3Dw"):
        seen.append((kind, obj["data"]["k"]))
        if kind == "DELETED":
            break

    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_a_watch_sees_objects_enter_and_leave_its_selection(api: Api, configmaps: str) -> None:
    version = api("GET", configmaps).body["metadata"]["resourceVersion"]
    api("POST", configmaps, config_map("w"))
    for label in ("in", "out"):
        api("PATCH", f"{configmaps}/w", {"metadata": {"labels": {"where": label}}}, MERGE)

    events = api.watch(configmaps, f"resourceVersion={version}&labelSelector=where%3Din")
    seen = [(kind, obj["metadata"]["labels"]["where"]) for _, (kind, obj) in zip(range(2), events, strict=False)]

    assert seen == [("ADDED", "in"), ("DELETED", "in")]


def test_a_watch_without_a_version_begins_with_what_is_there(api: Api, configmaps: str) -> None:
    api("POST", configmaps, config_map("w"))

    kind, obj = next(iter(api.watch(configmaps, "fieldSelector=metadata.name%3Dw")))

    assert (kind, obj["metadata"]["name"]) == ("ADDED", "w")


def test_a_streamed_list_ends_with_a_bookmark(api: Api, configmaps: str) -> None:
    api("POST", configmaps, config_map("w"))
    query = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"

    seen = []
    for kind, obj in api.watch(configmaps, f"{query}&fieldSelector=metadata.name%3Dw"):
        if "RequestWatchProgress is disabled" in obj.get("message", ""):
            pytest.skip("the etcd of this control plane is too old to stream lists")
        seen.append((kind, obj["metadata"].get("annotations")))
        if kind == "BOOKMARK":
            break

    assert seen == [("ADDED", None), ("BOOKMARK", {"k8s.io/initial-events-end": "true"})]


def test_a_watch_ends_at_its_timeout(api: Api, configmaps: str) -> None:
    assert list(api.watch(configmaps, "fieldSelector=metadata.name%3Dnone", seconds=1)) == []


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


def test_a_dry_run_changes_nothing(api: Api, configmaps: str) -> None:
    tried = api("POST", f"{configmaps}?dryRun=All", config_map("a"))

    assert (tried.code, tried.body["metadata"]["name"]) == (201, "a")
    assert api("GET", f"{configmaps}/a").code == 404


class TestServerSideApply:
    def apply(self, api: Api, path: str, manager: str, body: object, force: bool = False):
        return api("PATCH", f"{path}?fieldManager={manager}&force={str(force).lower()}", body, APPLY)

    def test_creates_then_agrees_without_a_new_version(self, api: Api, configmaps: str) -> None:
        created = self.apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))
        again = self.apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))

        assert (created.code, again.code) == (201, 200)
        assert again.body == created.body
        entry = created.body["metadata"]["managedFields"][0]
        assert (entry["manager"], entry["operation"]) == ("one", "Apply")
        assert entry["fieldsV1"] == {"f:data": {"f:k": {}}}

    def test_another_manager_conflicts_unless_it_forces(self, api: Api, configmaps: str) -> None:
        self.apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))

        refused = self.apply(api, f"{configmaps}/a", "two", config_map("a", k="2"))
        forced = self.apply(api, f"{configmaps}/a", "two", config_map("a", k="2"), force=True)

        assert (refused.code, refused.message) == (409, 'Apply failed with 1 conflict: conflict with "one": .data.k')
        assert refused.fields == {".data.k"}
        assert forced.body["data"] == {"k": "2"}

    def test_what_a_manager_no_longer_sends_goes_unless_another_owns_it(self, api: Api, configmaps: str) -> None:
        self.apply(api, f"{configmaps}/a", "one", config_map("a", mine="1", ours="1"))
        self.apply(api, f"{configmaps}/a", "two", config_map("a", ours="1"))

        left = self.apply(api, f"{configmaps}/a", "one", config_map("a"))

        assert left.body["data"] == {"ours": "1"}

    def test_a_field_that_an_update_took_conflicts(self, api: Api, configmaps: str) -> None:
        self.apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))
        api("PATCH", f"{configmaps}/a?fieldManager=editor", {"data": {"k": "2"}}, MERGE)

        refused = self.apply(api, f"{configmaps}/a", "one", config_map("a", k="1"))

        assert refused.code == 409
        assert 'conflict with "editor" using v1' in refused.message

    def test_containers_are_merged_by_name_and_removed_whole(self, api: Api, namespace: str) -> None:
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/a"

        def job(*containers: Object) -> Object:
            template = {"spec": {"restartPolicy": "Never", "containers": list(containers)}}
            spec = {"suspend": True, "template": template}
            return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": spec}

        first = {"name": "a", "image": "x:1", "env": [{"name": "A", "value": "1"}]}
        created = self.apply(api, path, "one", job(first))
        refused = self.apply(api, path, "one", job({"name": "b", "image": "x:1"}))

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
    def test_a_bad_apply_is_refused(
        self, api: Api, configmaps: str, manager: str, body: object, code: int, message: str
    ) -> None:
        refused = self.apply(api, f"{configmaps}/a", manager, body)

        assert refused.code == code
        assert message in refused.message


class TestPods:
    def pod(self, **spec: object) -> Object:
        containers = [{"name": "c", "image": "x:1", "resources": {"limits": {"cpu": 1, "nvidia.com/gpu": 1}}}]
        held = {"nodeSelector": {"no": "where"}, "automountServiceAccountToken": False, "containers": containers}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {**held, **spec}}

    def test_defaults_are_filled_in(self, api: Api, namespace: str) -> None:
        pod = api("POST", f"/api/v1/namespaces/{namespace}/pods", self.pod()).body

        container = pod["spec"]["containers"][0]
        assert {name: pod["spec"][name] for name in ("restartPolicy", "serviceAccountName", "priority")} == {
            "restartPolicy": "Always",
            "serviceAccountName": "default",
            "priority": 0,
        }
        assert container["resources"] == {
            "limits": {"cpu": "1", "nvidia.com/gpu": "1"},
            "requests": {"cpu": "1", "nvidia.com/gpu": "1"},
        }
        assert container["terminationMessagePath"] == "/dev/termination-log"
        assert (pod["status"]["phase"], pod["metadata"]["generation"]) == ("Pending", 1)

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"containers": []}, "spec.containers"),
            ({"containers": [{"name": "c"}]}, "spec.containers[0].image"),
            ({"restartPolicy": "Sometimes"}, "spec.restartPolicy"),
            (
                {"containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
                "spec.containers[0].volumeMounts[0].name",
            ),
        ],
    )
    def test_a_wrong_pod_is_refused(self, api: Api, namespace: str, spec: Object, field: str) -> None:
        refused = api("POST", f"/api/v1/namespaces/{namespace}/pods", self.pod(**spec))

        assert (refused.code, refused.fields) == (422, {field})

    def test_a_service_account_must_exist(self, api: Api, namespace: str) -> None:
        refused = api("POST", f"/api/v1/namespaces/{namespace}/pods", self.pod(serviceAccountName="nobody"))

        assert refused.code == 403
        assert f'error looking up service account {namespace}/nobody: serviceaccount "nobody"' in refused.message

    def test_a_spec_hardly_changes(self, api: Api, namespace: str) -> None:
        pods = f"/api/v1/namespaces/{namespace}/pods"
        api("POST", pods, self.pod())

        image = api("PATCH", f"{pods}/p", {"spec": {"containers": [{"name": "c", "image": "x:2"}]}}, STRATEGIC)
        command = api("PATCH", f"{pods}/p", {"spec": {"containers": [{"name": "c", "command": ["y"]}]}}, STRATEGIC)

        assert (image.code, image.body["spec"]["containers"][0]["image"]) == (200, "x:2")
        assert (command.code, command.fields) == (422, {"spec"})

    def test_status_is_written_by_itself(self, api: Api, namespace: str) -> None:
        pods = f"/api/v1/namespaces/{namespace}/pods"
        api("POST", pods, self.pod())

        spec = api("PATCH", f"{pods}/p", {"status": {"phase": "Failed"}}, MERGE)
        status = api("PATCH", f"{pods}/p/status", {"status": {"message": "m"}, "spec": {"nodeName": "x"}}, MERGE)

        assert spec.body["status"]["phase"] == "Pending"
        assert (status.body["status"]["message"], "nodeName" in status.body["spec"]) == ("m", False)
        listed = api("GET", f"{pods}?fieldSelector=status.phase%3DPending,spec.nodeName%3D").body["items"]
        assert [item["metadata"]["name"] for item in listed] == ["p"]


class TestJobs:
    def job(self, **spec: object) -> Object:
        template = {
            "metadata": {"labels": {"x": "y"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x:1", "command": ["x"]}]},
        }
        whole = {"suspend": True, "template": template, **spec}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": whole}

    def test_defaults_selector_and_labels_are_filled_in(self, api: Api, namespace: str) -> None:
        job = api("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", self.job()).body

        uid = job["metadata"]["uid"]
        labels = {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": "j",
            "controller-uid": uid,
            "job-name": "j",
            "x": "y",
        }
        assert job["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"] == labels
        assert {name: value for name, value in job["spec"].items() if name != "template"} == {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "suspend": True,
            "manualSelector": False,
            "podReplacementPolicy": "TerminatingOrFailed",
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}},
        }

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"template": {"spec": {"nodeSelector": {"a": "b"}}}}, 200),
            ({"template": {"spec": {"containers": [{"name": "c", "image": "x:2"}]}}}, 422),
            ({"completions": 3}, 422),
            ({"parallelism": 3}, 200),
            ({"backoffLimit": -1}, 422),
        ],
    )
    def test_a_suspended_job_may_be_placed_but_not_changed(
        self, api: Api, namespace: str, change: Object, code: int
    ) -> None:
        jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        api("POST", jobs, self.job())

        assert api("PATCH", f"{jobs}/j", {"spec": change}, STRATEGIC).code == code

    def test_a_running_jobs_template_is_immutable(self, api: Api, namespace: str) -> None:
        jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        api("POST", jobs, self.job(suspend=False, parallelism=0))

        refused = api("PATCH", f"{jobs}/j", {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}, MERGE)

        assert (refused.code, refused.fields) == (422, {"spec.template"})

    def test_deletion_without_a_policy_warns_of_pods_left_behind(self, api: Api, namespace: str) -> None:
        jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        api("POST", jobs, self.job())

        deleted = api("DELETE", f"{jobs}/j")

        assert deleted.code == 200
        assert "child pods are preserved by default when jobs are deleted" in deleted.warnings[0]


class TestTokens:
    def bound_token(self, api: Api, namespace: str, audience: str) -> tuple[str, Object]:
        pod = api("POST", f"/api/v1/namespaces/{namespace}/pods", TestPods().pod()).body
        reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}
        spec = {"audiences": [audience], "boundObjectRef": reference, "expirationSeconds": 600}
        issued = api("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token", {"spec": spec})
        assert issued.code == 201
        return issued.body["status"]["token"], pod

    def review(self, api: Api, token: str, *audiences: str) -> Object:
        spec = {"token": token, "audiences": list(audiences)}
        answer = api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": spec})
        assert answer.code == 201
        return answer.body["status"]

    def test_a_bound_token_names_its_pod_to_its_audience_alone(self, api: Api, namespace: str) -> None:
        token, pod = self.bound_token(api, namespace, "reports")

        status, other = self.review(api, token, "reports"), self.review(api, token, "elsewhere")

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

    def test_a_token_ends_with_its_pod(self, api: Api, namespace: str) -> None:
        token, _ = self.bound_token(api, namespace, "reports")
        api("DELETE", f"/api/v1/namespaces/{namespace}/pods/p", {"gracePeriodSeconds": 0})

        # A real server remembers a token that it found good for ten seconds.
        eventually(lambda: not self.review(api, token, "reports").get("authenticated"), "the token to end")

    def test_a_token_lives_ten_minutes_at_least(self, api: Api, namespace: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"

        refused = api("POST", path, {"spec": {"expirationSeconds": 5}})

        assert (refused.code, refused.fields) == (422, {"spec.expirationSeconds"})

    def test_a_foreign_token_opens_nothing(self, api: Api) -> None:
        assert api("GET", "/api/v1/namespaces", token="foreign").code == 401


def test_tables_have_the_columns_of_kubectl_get(api: Api, configmaps: str) -> None:
    api("POST", configmaps, config_map("a", k="1"))

    table = api("GET", f"{configmaps}/a", accept=TABLE).body

    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", 1]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_events_stand_in_both_groups(api: Api, namespace: str) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p"},
        "reason": "Testing",
        "message": "hello",
        "type": "Normal",
        "source": {"component": "tests"},
    }
    api("POST", f"/api/v1/namespaces/{namespace}/events", event)

    other = api("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/e").body

    assert (other["note"], other["regarding"]["name"]) == ("hello", "p")
    listed = api("GET", f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name%3Dp").body
    assert [item["reason"] for item in listed["items"]] == ["Testing"]


def test_a_namespace_that_is_being_deleted_takes_nothing_new(api: Api, kubectl: Kubectl) -> None:
    body = {"metadata": {"name": "test-ending", "finalizers": ["example.com/hold"]}}
    api("POST", "/api/v1/namespaces", body)
    api("DELETE", "/api/v1/namespaces/test-ending")

    refused = api("POST", "/api/v1/namespaces/test-ending/configmaps", config_map("a"))
    api("PATCH", "/api/v1/namespaces/test-ending", {"metadata": {"finalizers": None}}, MERGE)

    assert (refused.code, refused.body["reason"]) == (403, "Forbidden")
    assert "because it is being terminated" in refused.message
    eventually(lambda: api("GET", "/api/v1/namespaces/test-ending").code == 404, "the namespace to go")


def test_kubectl_applies_edits_and_shows(kubectl: Kubectl, namespace: str) -> None:
    manifest = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {namespace}}}\ndata: {{k: v}}\n"

    outputs = [
        kubectl("apply", "-f", "-", stdin=manifest).stdout,
        kubectl("apply", "-f", "-", stdin=manifest).stdout,
        kubectl("apply", "-f", "-", stdin=manifest.replace("k: v", "l: w")).stdout,
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest).stdout,
        kubectl("label", "-n", namespace, "configmap", "a", "x=y").stdout,
        kubectl("get", "-n", namespace, "configmap", "a", "-o", "jsonpath={.data}{.metadata.labels}").stdout,
        kubectl("delete", "-n", namespace, "configmap", "a").stdout,
    ]

    assert outputs == [
        "configmap/a created\n",
        "configmap/a unchanged\n",
        "configmap/a configured\n",
        "configmap/a serverside-applied\n",
        "configmap/a labeled\n",
        '{"k":"v"}{"x":"y"}',
        f'configmap "a" deleted from {namespace} namespace\n',
    ]


def test_kubectl_creates_by_its_own_commands(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "-n", namespace, "configmap", "a", "--from-literal=k=v")
    kubectl("create", "-n", namespace, "secret", "generic", "a", "--from-literal=k=v")
    kubectl("create", "-n", namespace, "serviceaccount", "a")

    stored = kubectl("get", "-n", namespace, "configmap/a", "secret/a", "-o", "jsonpath={.items[*]['data', 'type']}")
    token = kubectl("create", "-n", namespace, "token", "a", "--audience=reports").stdout

    assert stored.stdout == '{"k":"v"} {"k":"dg=="} Opaque'
    assert token.count(".") == 2
    assert kubectl("auth", "can-i", "create", "pods").stdout == "yes\n"


def test_kubectl_explains_built_in_kinds(kubectl: Kubectl) -> None:
    text = kubectl("explain", "job.spec.podFailurePolicy.rules").stdout

    assert "FIELD: rules <[]PodFailurePolicyRule>" in text
    assert "onExitCodes" in text


def test_kubectl_says_that_there_is_no_such_kind(kubectl: Kubectl) -> None:
    manifest = "apiVersion: nowhere.example.com/v1\nkind: Thing\nmetadata: {name: x}\n"

    refused = kubectl("apply", "-f", "-", stdin=manifest, check=False)

    assert refused.returncode == 1
    assert 'no matches for kind "Thing" in version "nowhere.example.com/v1"' in refused.stderr


def test_json_is_the_default_media_type(api: Api, configmaps: str) -> None:
    assert api("POST", configmaps, config_map("a"), content_type="text/plain").code == 415
    assert api("POST", configmaps, config_map("a"), content_type=JSON).code == 201
