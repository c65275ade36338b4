"""The pod template: its user, its volumes, and what the user sets of it."""

from dataclasses import replace

import pytest
from tests.unit.finetune_operator.samples import LABELS, POD_DEFAULTS, children, parsed, run_file_of

from finetune_api.pod import PodSettings
from finetune_operator.manifests import build_children
from finetune_operator.manifests.run_file import ANNOTATION_RUN

ELSEWHERE = {
    "image", "env", "volumeMounts", "labels", "annotations", "volumes", "securityContext", "accelerator",
    "topologySpreadConstraints",
}  # fmt: skip
"""Fields of spec.pod that are no field of a pod's spec, or not by themselves; tests of their own say where each of them goes."""


@pytest.mark.parametrize("of", ["training", "preflight"])
def test_the_platform_can_choose_the_user_of_a_pod(of: str) -> None:
    given, pod_defaults = parsed(), replace(POD_DEFAULTS, platform_user=True)
    assert given.spec is not None

    made = build_children(given, given.spec, pod_defaults)

    pod = (made.job if of == "training" else made.preflight_job)["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert {"name": "USER", "value": "finetune"} in pod["containers"][0]["env"]


def test_claims_are_mounted_once_each_and_only_the_output_can_be_written_to() -> None:
    given = parsed(
        model={"source": "pvc://models.v1/bert"},
        dataset={"source": "pvc://data/yelp.csv"},
        output={"uri": "pvc://data/out"},
    )

    made = children(given)
    pod = made.job["spec"]["template"]["spec"]

    assert made.pvc is None
    assert pod["containers"][0]["args"][2:] == [
        "--volume",
        "data=/mnt/volumes/data",
        "--volume",
        "models.v1=/mnt/volumes/models.v1",
    ]
    assert pod["containers"][0]["volumeMounts"][5:] == [
        {"name": "claim-0", "mountPath": "/mnt/volumes/data", "readOnly": False},
        {"name": "claim-1", "mountPath": "/mnt/volumes/models.v1", "readOnly": True},
    ]
    assert pod["volumes"][5:] == [
        {"name": "claim-0", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "claim-1", "persistentVolumeClaim": {"claimName": "models.v1"}},
    ]


def test_what_a_pod_needs_on_a_cluster_goes_to_the_pod_unchanged() -> None:
    given = parsed(
        pod={
            "image": "mine:2",
            "serviceAccountName": "trainer",
            "imagePullSecrets": [{"name": "pull"}],
            "nodeSelector": {"gpu": "a100"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "priorityClassName": "low",
            "affinity": {"podAffinity": {}},
            "topologySpreadConstraints": [],
            "runtimeClassName": "nvidia",
            "schedulerName": "volcano",
            "securityContext": {},
            "accelerator": {},
            "volumes": [],
            "volumeMounts": [],
            "env": [
                {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
                {"name": "HF_HOME", "value": "/mnt/cache"},
            ],
            "labels": {"kueue.x-k8s.io/queue-name": "team-a", "app.kubernetes.io/name": "theirs"},
            "annotations": {"example.com/note": "x"},
        },
        resources={"gpus": 1, "cpu": "4", "memory": "16Gi"},
    )
    assert given.spec is not None
    assert given.spec.pod.to_wire().keys() == {field.alias for field in PodSettings.model_fields.values()}

    job = children(given).job
    pod = job["spec"]["template"]["spec"]
    env = {each["name"]: each for each in pod["containers"][0]["env"]}

    labels = {**LABELS, "kueue.x-k8s.io/queue-name": "team-a", "app.kubernetes.io/name": "theirs"}
    assert job["metadata"]["labels"] == labels
    assert job["spec"]["template"]["metadata"] == {
        "labels": labels,
        "annotations": {"example.com/note": "x", ANNOTATION_RUN: run_file_of(job)},
    }
    assert pod["containers"][0]["image"] == "mine:2"
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
    }
    wire = given.spec.pod.to_wire()
    placed = wire.keys() - ELSEWHERE
    assert {name: pod[name] for name in placed} == {name: wire[name] for name in placed}
    assert env["HF_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert env["HF_HOME"] == {"name": "HF_HOME", "value": "/mnt/cache"}
    assert len(env) == len(pod["containers"][0]["env"])
    assert env["OMP_NUM_THREADS"]["value"] == "4"
