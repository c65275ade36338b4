"""What the pod of a preflight is made of."""

from typing import Any

import pytest
from tests.unit.finetune_operator.preflights import NAME, POD_POLICY, folders
from tests.unit.finetune_operator.samples import (
    LABELS,
    OWNERS,
    POD_DEFAULTS,
    children,
    parsed,
    run_file_of,
)

from finetune_api.report import ENV_RETRIES
from finetune_operator.job.names import preflight_job_name
from finetune_operator.manifests import build_children
from finetune_operator.manifests.run_file import ANNOTATION_RUN


def manifest(output_bound: bool = False, **spec: Any) -> dict[str, Any]:
    given = parsed(**{**POD_POLICY, **spec})
    assert given.spec is not None
    return build_children(given, given.spec, POD_DEFAULTS, output_bound=output_bound).preflight_job


def is_about_own_volume(variable: dict[str, Any]) -> bool:
    return "/mnt/volumes/" in variable["value"] or variable["name"] == ENV_RETRIES


def test_the_preflight_is_one_small_hardened_cpu_pod() -> None:
    labels = LABELS | {"app.kubernetes.io/component": "preflight"}

    made = manifest()

    training = children(parsed(**POD_POLICY)).job
    assert made["metadata"] == {
        "name": NAME,
        "namespace": "team-a",
        "labels": labels,
        "ownerReferences": OWNERS,
        "annotations": {"finetune.dev/requested": '{"backoffLimit": 3, "suspend": false}'},
    }
    same = ("completions", "parallelism", "suspend", "backoffLimit", "podReplacementPolicy", "podFailurePolicy")
    assert {name: made["spec"][name] for name in same} == {name: training["spec"][name] for name in same}
    template, theirs = made["spec"]["template"], training["spec"]["template"]
    container, their_container = template["spec"]["containers"][0], theirs["spec"]["containers"][0]
    assert template["metadata"] == {"labels": labels, "annotations": {ANNOTATION_RUN: run_file_of(training)}}
    assert container == their_container | {
        "args": ["prepare", "--for-job", "--config", "/etc/finetune/run.yaml"],
        "env": [each for each in their_container["env"] if not is_about_own_volume(each)],
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}},
        "volumeMounts": [each for each in their_container["volumeMounts"] if each["name"] != "claim-0"],
    }
    assert template["spec"] == theirs["spec"] | {
        "containers": [container],
        "volumes": [each for each in theirs["spec"]["volumes"] if each["name"] != "claim-0"],
    }


def test_the_preflight_asks_for_no_queue_and_no_node_that_is_chosen_for_its_gpus() -> None:
    everywhere = {"operator": "Exists", "effect": "NoExecute"}
    made = manifest(
        resources={"gpus": 8, "nodes": 4, "cpu": "0.5", "memory": "256Gi"},
        pod={
            "labels": {"kueue.x-k8s.io/queue-name": "team", "cost": "a"},
            "nodeSelector": {
                "nvidia.com/gpu.product": "H100",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": "z",
            },
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}, everywhere],
            "serviceAccountName": "trainer",
            "imagePullSecrets": [{"name": "pull"}],
            "priorityClassName": "high",
            "env": [{"name": "HF_TOKEN_PATH", "value": "/mnt/token"}],
            "annotations": {"sidecar": "no", "kueue.x-k8s.io/podset-required-topology": "rack"},
        },
    )

    template = made["spec"]["template"]
    pod_spec, container = template["spec"], template["spec"]["containers"][0]
    assert "kueue.x-k8s.io/queue-name" not in {**made["metadata"]["labels"], **template["metadata"]["labels"]}
    assert made["metadata"]["labels"]["cost"] == template["metadata"]["labels"]["cost"] == "a"
    assert template["metadata"]["annotations"] == {"sidecar": "no", ANNOTATION_RUN: run_file_of(made)}
    assert pod_spec["nodeSelector"] == {"kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "z"}
    assert pod_spec["tolerations"] == [everywhere]
    assert (pod_spec["serviceAccountName"], pod_spec["priorityClassName"]) == ("trainer", "high")
    assert pod_spec["imagePullSecrets"] == [{"name": "pull"}]
    assert {"name": "HF_TOKEN_PATH", "value": "/mnt/token"} in container["env"]
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in container["env"]
    assert container["resources"] == {
        "requests": {"cpu": "0.5", "memory": "2Gi"},
        "limits": {"cpu": "0.5", "memory": "256Gi"},
    }
    assert made["spec"]["completions"] == 1
    assert "subdomain" not in pod_spec


def tokens(made: dict[str, Any]) -> str | None:
    env = made["spec"]["template"]["spec"]["containers"][0]["env"]
    return next((each["value"] for each in env if each["name"] == "FINETUNE_TOKENS"), None)


@pytest.mark.parametrize(
    ("output", "bound", "mounted", "place"),
    [
        ({}, False, {"data": False}, None),
        ({"uri": "pvc://models/a%20b/"}, True, {"models": True, "data": False}, "/mnt/volumes/models/a b/.tokens"),
        ({"uri": "pvc://models/a"}, False, {"data": False}, None),
        ({"uri": "pvc://data/out"}, False, {"data": True}, "/mnt/volumes/data/out/.tokens"),
        ({"uri": "s3://bucket/out"}, False, {"data": False}, None),
    ],
)
def test_an_output_that_is_bound_is_mounted_and_takes_the_tokens(
    output: dict[str, Any], bound: bool, mounted: dict[str, bool], place: str | None
) -> None:
    made = manifest(bound, dataset={"source": "pvc://data/rows"}, output=output)

    assert folders(made) == mounted
    assert tokens(made) == place


@pytest.mark.parametrize(
    ("policy", "output", "place"),
    [
        ("pod", {"uri": "pvc://models/a"}, "/mnt/volumes/models/a/.tokens"),
        ("pod", {}, "/mnt/volumes/yelp-0f9be1d4/.tokens"),
        ("inline", {"uri": "pvc://models/a"}, None),
    ],
)
def test_the_training_looks_for_tokens_where_a_preflight_may_have_left_them(
    policy: str, output: dict[str, Any], place: str | None
) -> None:
    given = parsed(runPolicy={"preflight": policy}, output=output)

    assert tokens(children(given).job) == place


def test_no_other_job_has_the_name_of_a_preflight() -> None:
    names = {preflight_job_name(name) for name in ("yelp", "yelp-preflight", NAME, "y" * 253, "a.b")}

    assert len(names) == 5
    assert all(len(name) <= 63 and "." not in name for name in names)
