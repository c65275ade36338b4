"""What a cluster's pods need, as it stands in the pod."""

from typing import Any

from tests.unit.finetune_operator.samples import UID, children, parsed

_ZONE = "topology.kubernetes.io/zone"
_TERM = {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["a100"]}]}
_AFFINITY = {
    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_TERM]}},
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 5,
                "podAffinityTerm": {
                    "labelSelector": {"matchLabels": {"app": "noisy"}},
                    "topologyKey": "kubernetes.io/hostname",
                },
            }
        ]
    },
}


def _pod(**spec: Any) -> Any:
    return children(parsed(**spec)).job["spec"]["template"]["spec"]


def _with_empty_left_out(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_empty_left_out(each) for key, each in value.items() if each != [] and each != {}}
    return [_with_empty_left_out(each) for each in value] if isinstance(value, list) else value


def test_affinity_runtime_class_and_scheduler_go_to_the_pod() -> None:
    pod = _pod(pod={"affinity": _AFFINITY, "runtimeClassName": "nvidia", "schedulerName": "volcano"})

    assert _with_empty_left_out(pod["affinity"]) == _AFFINITY
    assert (pod["runtimeClassName"], pod["schedulerName"]) == ("nvidia", "volcano")


def test_a_spread_that_says_nothing_of_pods_counts_those_of_the_job() -> None:
    constraint = {"maxSkew": 1, "topologyKey": _ZONE, "whenUnsatisfiable": "DoNotSchedule"}

    pod = _pod(pod={"topologySpreadConstraints": [constraint]})

    own = {"labelSelector": {"matchLabels": {"finetune.dev/job-uid": UID}}}
    assert pod["topologySpreadConstraints"] == [{**constraint, **own}]


def test_a_gpu_has_the_resource_name_of_the_cluster() -> None:
    pod = _pod(pod={"accelerator": {"resource": "nvidia.com/mig-1g.5gb"}}, resources={"gpus": 2})

    assert pod["containers"][0]["resources"] == {"limits": {"nvidia.com/mig-1g.5gb": "2"}}
    assert "resourceClaims" not in pod


def test_gpus_come_from_a_resource_claim_instead_of_a_resource() -> None:
    pod = _pod(pod={"accelerator": {"resourceClaimTemplateName": "two-gpus"}}, resources={"gpus": 2, "cpu": "4"})

    assert pod["resourceClaims"] == [{"name": "accelerator", "resourceClaimTemplateName": "two-gpus"}]
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "4"},
        "limits": {"cpu": "4"},
        "claims": [{"name": "accelerator"}],
    }


def test_training_on_the_cpu_asks_for_no_accelerator() -> None:
    pod = _pod(pod={"accelerator": {"resourceClaimTemplateName": "two-gpus"}}, resources={"gpus": 0})

    assert "resourceClaims" not in pod
    assert pod["containers"][0]["resources"] == {}


def test_an_empty_security_context_leaves_user_and_groups_to_the_platform() -> None:
    pod = _pod(pod={"securityContext": {}})

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert {"name": "USER", "value": "finetune"} in pod["containers"][0]["env"]


def test_a_user_and_groups_of_the_job_take_the_place_of_ours() -> None:
    pod = _pod(pod={"securityContext": {"runAsUser": 1000, "supplementalGroups": [2000]}})

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "supplementalGroups": [2000],
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_volumes_of_the_user_stand_beside_ours_under_names_of_their_own() -> None:
    volumes = [
        {"name": "config", "configMap": {"name": "finetune-words"}},
        {"name": "models", "image": {"reference": "models:1"}},
        {"name": "cache", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ]
    mounts = [{"name": "models", "mountPath": "/mnt/models", "subPath": "bert", "readOnly": True}]

    pod = _pod(pod={"volumes": volumes, "volumeMounts": mounts})

    assert _with_empty_left_out(pod["volumes"][-3:]) == [
        {"name": "pod-config", "configMap": {"name": "finetune-words"}},
        {"name": "pod-models", "image": {"reference": "models:1"}},
        {"name": "pod-cache", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ]
    assert pod["containers"][0]["volumeMounts"][-1] == {**mounts[0], "name": "pod-models"}


def test_the_preflight_is_placed_by_nothing_that_is_meant_for_gpus() -> None:
    given = parsed(
        pod={
            "affinity": _AFFINITY,
            "runtimeClassName": "nvidia",
            "schedulerName": "volcano",
            "accelerator": {"resourceClaimTemplateName": "gpu"},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": _ZONE, "whenUnsatisfiable": "ScheduleAnyway"}],
        },
        runPolicy={"preflight": "pod"},
    )

    pod = children(given).preflight_job["spec"]["template"]["spec"]

    assert pod.keys() & {"affinity", "runtimeClassName", "resourceClaims", "topologySpreadConstraints"} == set()
    assert pod["schedulerName"] == "volcano"
