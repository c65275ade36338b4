"""The headless Service by which many pods find the first."""

import json

from tests.unit.finetune_operator.samples import LABELS, OWNERS, UID, children, parsed, run_file_of


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
    assert {"gpus": 8, "nodes": 4}.items() <= json.loads(run_file_of(made.job)).items()


def test_one_pod_needs_no_service() -> None:
    made = children(parsed(resources={"gpus": 0, "processesPerNode": 2}))
    pod = made.job["spec"]["template"]["spec"]

    assert made.service is None
    assert "subdomain" not in pod
    assert not {"FINETUNE_RENDEZVOUS", "FINETUNE_NODE_RANK"} & {each["name"] for each in pod["containers"][0]["env"]}
    assert json.loads(run_file_of(made.job))["processesPerNode"] == 2
