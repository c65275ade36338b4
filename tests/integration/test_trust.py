"""Nobody decides what a run does but its FineTuneJob."""

import base64
import json

import pytest
from tests.integration.fixtures import Space, finetunejob

from devcluster.testing.api import wait_for


@pytest.mark.slow
def test_a_run_does_not_begin_by_settings_that_somebody_put_in_place_of_its_own(space: Space) -> None:
    space.apply(finetunejob("swapped", suspend=True))
    space.until("swapped", lambda s: s.get("phase") == "Suspended", "suspended")
    live = space.get("configmap", "swapped-run")
    refused = space.kubectl("patch", "configmap", "swapped-run", "-p", '{"data":{"run.yaml":"{}"}}', check=False)
    settings = json.loads(live["data"]["run.yaml"])
    settings["model"]["source"] = "file:///somewhere/else"
    planted = {**live, "metadata": {name: live["metadata"][name] for name in ("name", "labels", "ownerReferences")}}
    space.kubectl("delete", "configmap", "swapped-run")
    space.apply({**planted, "data": {"run.yaml": json.dumps(settings)}})

    space.kubectl("patch", "ftj", "swapped", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    status = space.end_of("swapped")

    assert "immutable" in refused
    assert (status["phase"], status["failure"]["reason"]) == ("Failed", "ConfigChanged"), status
    assert status["failure"]["exitCode"] == 10
    assert len(status["attempts"]) == 1


def test_the_pods_of_a_run_have_a_secret_and_a_network_policy_that_go_with_it(space: Space) -> None:
    resources = {"gpus": 0, "nodes": 2}
    space.apply(finetunejob("proven", suspend=True, resources=resources, output={"uri": "s3://bucket/proven"}))
    space.until("proven", lambda s: s.get("phase") == "Suspended", "suspended")
    selector = "finetune.dev/job-name=proven"

    (policy,), (secret,) = space.list("networkpolicies", selector), space.list("secrets", selector)
    value = base64.b64decode(secret["data"]["secret"]).decode()
    shown = [space.kubectl("get", "ftj,jobs,configmaps,services", f"--selector={selector}", "-o", "yaml")]
    shown += [space.kubectl("get", "ftj", "proven", "-o", "yaml"), space.kubectl("get", "events", "-o", "yaml")]
    job = space.get("job", "proven")
    space.kubectl("delete", "ftj", "proven")

    own = {"matchLabels": {"finetune.dev/job-uid": job["metadata"]["labels"]["finetune.dev/job-uid"]}}
    assert policy["spec"] == {
        "podSelector": own, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": own}]}],
    }  # fmt: skip
    assert [
        each["secret"]["secretName"] for each in job["spec"]["template"]["spec"]["volumes"] if "secret" in each
    ] == [secret["metadata"]["name"]]
    assert secret["immutable"] is True
    assert len(value) >= 43
    assert not [text for text in shown if value in text or base64.b64encode(value.encode()).decode() in text]
    wait_for(lambda: space.list("networkpolicies,secrets", selector), lambda left: left == [], "they go with the job")
