"""Pods and Jobs as the API server defaults and validates them: alike on the dev cluster and on a real one."""

import pytest
from tests.integration.objects import unschedulable_pod

from devcluster.testing.api import MERGE, STRATEGIC, Api, Object


class TestPods:
    def test_defaults_are_filled_in(self, api: Api, namespace: str) -> None:
        pod = api("POST", f"/api/v1/namespaces/{namespace}/pods", unschedulable_pod()).body

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
        refused = api("POST", f"/api/v1/namespaces/{namespace}/pods", unschedulable_pod(**spec))

        assert (refused.code, refused.fields) == (422, {field})

    def test_a_service_account_must_exist(self, api: Api, namespace: str) -> None:
        refused = api("POST", f"/api/v1/namespaces/{namespace}/pods", unschedulable_pod(serviceAccountName="nobody"))

        assert refused.code == 403
        assert f'error looking up service account {namespace}/nobody: serviceaccount "nobody"' in refused.message

    def test_a_spec_hardly_changes(self, api: Api, namespace: str) -> None:
        pods = f"/api/v1/namespaces/{namespace}/pods"
        api("POST", pods, unschedulable_pod())

        image = api("PATCH", f"{pods}/p", {"spec": {"containers": [{"name": "c", "image": "x:2"}]}}, STRATEGIC)
        command = api("PATCH", f"{pods}/p", {"spec": {"containers": [{"name": "c", "command": ["y"]}]}}, STRATEGIC)

        assert (image.code, image.body["spec"]["containers"][0]["image"]) == (200, "x:2")
        assert (command.code, command.fields) == (422, {"spec"})

    def test_status_is_written_by_itself(self, api: Api, namespace: str) -> None:
        pods = f"/api/v1/namespaces/{namespace}/pods"
        api("POST", pods, unschedulable_pod())

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
