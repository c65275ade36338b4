"""What the operator makes is what each supported version of Kubernetes takes: checked against its OpenAPI, unknown fields included."""

from dataclasses import fields
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import children, parsed

from finetune_api.crd import custom_resource_definition, profile_definition
from finetune_api.policy import admission_policies

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
EVERYTHING: dict[str, Any] = {
    "resources": {"gpus": 2, "nodes": 2, "cpu": "4", "memory": "16Gi"},
    "runPolicy": {"activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 60, "preflight": "pod"},
    "model": {"source": "s3://models/bert", "secretRef": {"name": "finetune-s3"}},
    "pod": {
        "priorityClassName": "high",
        "nodeSelector": {"gpu": "a100"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "labels": {"kueue.x-k8s.io/queue-name": "team-a"},
        "annotations": {"kueue.x-k8s.io/podset-required-topology": "kubernetes.io/hostname"},
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "finetune-a", "key": "b"}}}],
        "volumes": [
            {"name": "a", "configMap": {"name": "a"}},
            {"name": "b", "image": {"reference": "models/bert:1"}},
            {"name": "c", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ],
        "volumeMounts": [{"name": name, "mountPath": f"/mnt/{name}"} for name in "abc"],
    },
}
_IMAGE_VOLUMES = "1.31"
"""The first version that knows volumes of images."""


def spec_for(version: str, spec: dict[str, Any]) -> dict[str, Any]:
    if "pod" not in spec or version >= _IMAGE_VOLUMES:
        return spec
    volumes = [volume for volume in spec["pod"]["volumes"] if "image" not in volume]
    mounts = [mount for mount in spec["pod"]["volumeMounts"] if mount["name"] != "b"]
    return {**spec, "pod": {**spec["pod"], "volumes": volumes, "volumeMounts": mounts}}


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("spec", [{}, EVERYTHING], ids=["the smallest job", "one with all that pods can have"])
def test_each_child_is_what_the_api_takes(version: str, spec: dict[str, Any]) -> None:
    from tests.unit.kubernetes_schemas import check_taken  # a second of CPU, in the one worker that runs this

    made = children(parsed(**spec_for(version, spec)))

    manifests = [manifest for each in fields(made) if isinstance(manifest := getattr(made, each.name), dict)]
    manifests.append(made.preflight_job)
    for manifest in manifests:
        check_taken(manifest, version)
    assert {"Job", "ConfigMap"} <= {manifest["kind"] for manifest in manifests}


@pytest.mark.thorough
@pytest.mark.parametrize("version", VERSIONS)
def test_the_crds_and_their_policies_are_what_the_api_takes(version: str) -> None:
    from tests.unit.kubernetes_schemas import check_taken

    for each in (custom_resource_definition(), profile_definition(), *admission_policies()):
        check_taken(each, version)
