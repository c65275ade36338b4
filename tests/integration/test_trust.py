"""Nobody decides what a run does but its FineTuneJob."""

import base64
import json
from typing import Any

import pytest
from tests.integration.fixtures import Space, finetunejob

from devcluster.testing.api import wait_for


@pytest.mark.slow
def test_a_run_does_not_begin_by_settings_that_somebody_put_in_place_of_its_own(space: Space) -> None:
    space.apply(finetunejob("swapped", suspend=True))
    space.until("swapped", lambda s: s.get("phase") == "Suspended", "suspended")
    template = space.get("job", "swapped")["spec"]["template"]
    settings = json.loads(template["metadata"]["annotations"]["finetune.dev/run.yaml"])
    settings["model"]["source"] = "file:///somewhere/else"
    # Kubernetes lets annotations change, for queues, as long as a Job is suspended, and of the rest nothing.
    annotations = {"finetune.dev/run.yaml": json.dumps(settings)}
    space.kubectl("patch", "job", "swapped", "-p", _template({"metadata": {"annotations": annotations}}))
    trainer = {"name": "trainer", "env": [{"name": "FINETUNE_CONFIG_DIGEST", "value": "sha256:0"}]}
    refused = space.kubectl(
        "patch", "job", "swapped", "-p", _template({"spec": {"containers": [trainer]}}), check=False
    )

    space.kubectl("patch", "ftj", "swapped", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    status = space.end_of("swapped")

    assert "immutable" in refused
    assert (status["phase"], status["failure"]["reason"]) == ("Failed", "ConfigChanged"), status
    assert status["failure"]["exitCode"] == 10
    assert len(status["attempts"]) == 1


def _template(changes: dict[str, Any]) -> str:
    return json.dumps({"spec": {"template": changes}})


def test_the_pods_of_a_run_have_a_secret_and_a_network_policy_that_go_with_it(space: Space) -> None:
    resources = {"gpus": 0, "nodes": 2}
    space.apply(finetunejob("proven", suspend=True, resources=resources, output={"uri": "s3://bucket/proven"}))
    space.until("proven", lambda s: s.get("phase") == "Suspended", "suspended")
    selector = "finetune.dev/job-name=proven"

    (policy,), (secret,) = space.list("networkpolicies", selector), space.list("secrets", selector)
    value = base64.b64decode(secret["data"]["secret"]).decode()
    shown = [space.kubectl("get", "ftj,jobs,services", f"--selector={selector}", "-o", "yaml")]
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
