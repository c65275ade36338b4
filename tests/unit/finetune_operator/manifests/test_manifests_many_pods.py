"""What a job of many pods or processes, or one with credentials, has besides."""

import json
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import LABELS, OWNERS, UID, children, parsed


@pytest.mark.parametrize(
    ("resources", "threads"),
    [
        ({"gpus": 0, "cpu": "500m"}, "1"),
        ({"gpus": 0, "cpu": "1500m"}, "2"),
        ({"gpus": 4, "cpu": "32"}, "8"),
        ({"gpus": 0, "processesPerNode": 3, "cpu": "4"}, "2"),
        ({"gpus": 8, "cpu": "4"}, "1"),
    ],
)
def test_the_processes_of_a_pod_share_the_cores_of_its_limit(resources: dict[str, Any], threads: str) -> None:
    container = children(parsed(resources=resources)).job["spec"]["template"]["spec"]["containers"][0]

    assert [each["value"] for each in container["env"] if each["name"] == "OMP_NUM_THREADS"] == [threads]


def test_many_pods_find_the_first_of_them_by_a_headless_service() -> None:
    made = children(parsed(resources={"gpus": 8, "nodes": 4}))
    job, pod = made.job["spec"], made.job["spec"]["template"]["spec"]
    env = {each["name"]: each for each in pod["containers"][0]["env"]}
    port = made.service["spec"]["ports"][0]["port"]

    how = ("completions", "parallelism", "completionMode", "backoffLimit", "backoffLimitPerIndex", "successPolicy")
    assert {name: job[name] for name in how} == {
        "completions": 4,
        "parallelism": 4,
        "completionMode": "Indexed",
        "backoffLimit": 3,
        "backoffLimitPerIndex": 2_147_483_647,
        "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
    }
    assert made.service == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ft-yelp", "namespace": "team-a", "labels": LABELS, "ownerReferences": OWNERS},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"finetune.dev/job-uid": UID},
            "ports": [{"name": "rendezvous", "port": port}],
        },
    }
    assert 20_000 <= port < 30_000
    assert pod["subdomain"] == "ft-yelp"
    assert env["FINETUNE_RENDEZVOUS"]["value"] == f"yelp-0.ft-yelp.team-a.svc:{port}"
    assert env["FINETUNE_NODE_RANK"]["valueFrom"] == {
        "fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}
    }
    assert pod["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": "8"}}
    assert made.pvc["spec"]["accessModes"] == ["ReadWriteMany"]
    assert {"gpus": 8, "nodes": 4}.items() <= json.loads(made.config_map["data"]["run.yaml"]).items()


def test_one_pod_needs_no_service() -> None:
    made = children(parsed(resources={"gpus": 0, "processesPerNode": 2}))
    pod = made.job["spec"]["template"]["spec"]

    assert made.service is None
    assert "subdomain" not in pod
    assert not {"FINETUNE_RENDEZVOUS", "FINETUNE_NODE_RANK"} & {each["name"] for each in pod["containers"][0]["env"]}
    assert json.loads(made.config_map["data"]["run.yaml"])["processesPerNode"] == 2


def test_credentials_are_files_for_the_pods_user_and_stand_nowhere_else() -> None:
    given = parsed(
        model={"source": "org/gated", "secretRef": {"name": "hub"}},
        output={"uri": "s3://models/yelp", "secretRef": {"name": "s3"}},
    )

    made = children(given)
    pod = made.job["spec"]["template"]["spec"]
    container = pod["containers"][0]

    assert made.pvc is None
    assert "--volume" not in container["args"]
    assert container["volumeMounts"][5:] == [
        {"name": "secret-model", "mountPath": "/var/run/secrets/finetune-credentials/model", "readOnly": True},
        {"name": "secret-output", "mountPath": "/var/run/secrets/finetune-credentials/output", "readOnly": True},
    ]
    assert pod["volumes"][5:] == [
        {"name": "secret-model", "secret": {"secretName": "hub", "defaultMode": 0o440}},
        {"name": "secret-output", "secret": {"secretName": "s3", "defaultMode": 0o440}},
    ]
    assert {"name": "FINETUNE_SECRETS", "value": "/var/run/secrets/finetune-credentials"} in container["env"]
    assert not any("valueFrom" in each for each in container["env"])
