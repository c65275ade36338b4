"""Whole manifests of the children."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import LABELS, OWNERS, POD_DEFAULTS, UID, children, parsed

from finetune_api.pod import PodSettings
from finetune_api.run import RunConfig
from finetune_operator.manifests import build_children
from finetune_operator.manifests.config_map import run_config
from finetune_operator.manifests.job import changes, changes_after_the_end


def test_the_smallest_job_gets_a_config_map_a_claim_and_a_hardened_job() -> None:
    made = children(parsed())
    digest = "sha256:" + hashlib.sha256(made.config_map["data"]["run.yaml"].encode()).hexdigest()

    assert made.pvc == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "yelp-0f9be1d4", "namespace": "team-a", "labels": LABELS},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
    }
    assert made.job == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "yelp",
            "namespace": "team-a",
            "labels": LABELS,
            "ownerReferences": OWNERS,
            "annotations": {"finetune.dev/requested": '{"backoffLimit": 3, "suspend": false}'},
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "suspend": False,
            "backoffLimit": 3,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": "trainer",
                            "operator": "In",
                            "values": [10, 11, 12, 13, 14, 15],
                        },
                    },
                    {
                        "action": "Ignore",
                        "onExitCodes": {"containerName": "trainer", "operator": "In", "values": [17, 18, 143]},
                    },
                ]
            },
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 120,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "runAsGroup": 65532,
                        "fsGroup": 65532,
                        "fsGroupChangePolicy": "OnRootMismatch",
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "trainer",
                            "image": "trainer:1",
                            "command": ["python", "-m", "finetune_trainer"],
                            "args": [
                                "--config",
                                "/etc/finetune/run.yaml",
                                "--volume",
                                "yelp-0f9be1d4=/mnt/volumes/yelp-0f9be1d4",
                            ],
                            "env": [
                                {"name": "HOME", "value": "/scratch"},
                                {"name": "HF_HOME", "value": "/scratch/huggingface"},
                                {"name": "TMPDIR", "value": "/tmp"},
                                {"name": "FINETUNE_CONFIG_DIGEST", "value": digest},
                                {"name": "FINETUNE_TERMINATION_LOG", "value": "/dev/termination-log"},
                                {
                                    "name": "KUBEFLOW_TRAINER_SERVER_URL",
                                    "value": "https://operator:8443/reports/v1alpha1/namespaces/team-a/finetunejobs/yelp",
                                },
                                {"name": "KUBEFLOW_TRAINER_SERVER_CA_CERT", "value": "/etc/finetune/ca.crt"},
                                {
                                    "name": "KUBEFLOW_TRAINER_SERVER_TOKEN",
                                    "value": "/var/run/secrets/finetune.dev/token",
                                },
                            ],
                            "resources": {"limits": {"nvidia.com/gpu": "1"}},
                            "volumeMounts": [
                                {"name": "config", "mountPath": "/etc/finetune", "readOnly": True},
                                {"name": "token", "mountPath": "/var/run/secrets/finetune.dev", "readOnly": True},
                                {"name": "scratch", "mountPath": "/scratch"},
                                {"name": "tmp", "mountPath": "/tmp"},
                                {"name": "shm", "mountPath": "/dev/shm"},
                                {"name": "claim-0", "mountPath": "/mnt/volumes/yelp-0f9be1d4", "readOnly": False},
                            ],
                            "terminationMessagePath": "/dev/termination-log",
                            "terminationMessagePolicy": "FallbackToLogsOnError",
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }
                    ],
                    "volumes": [
                        {
                            "name": "config",
                            "projected": {
                                "sources": [
                                    {
                                        "configMap": {
                                            "name": "yelp-run",
                                            "items": [{"key": "run.yaml", "path": "run.yaml"}],
                                        }
                                    },
                                    {"configMap": {"name": "yelp-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                                ]
                            },
                        },
                        {
                            "name": "token",
                            "projected": {
                                "sources": [
                                    {
                                        "serviceAccountToken": {
                                            "audience": "reports.finetune.dev",
                                            "expirationSeconds": 3600,
                                            "path": "token",
                                        }
                                    }
                                ]
                            },
                        },
                        {"name": "scratch", "emptyDir": {}},
                        {"name": "tmp", "emptyDir": {}},
                        {"name": "shm", "emptyDir": {"medium": "Memory"}},
                        {"name": "claim-0", "persistentVolumeClaim": {"claimName": "yelp-0f9be1d4"}},
                    ],
                },
            },
        },
    }
    assert made.config_map["metadata"] == {
        "name": "yelp-run",
        "namespace": "team-a",
        "labels": LABELS,
        "ownerReferences": OWNERS,
    }
    assert made.config_map["immutable"] is True
    assert made.authority == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "yelp-ca", "namespace": "team-a", "labels": LABELS, "ownerReferences": OWNERS},
        "data": {"ca.crt": "PEM"},
    }


def test_the_preflight_and_the_training_run_by_one_digest() -> None:
    made = children(parsed())
    digest = "sha256:" + hashlib.sha256(made.config_map["data"]["run.yaml"].encode()).hexdigest()

    named = [
        [each["value"] for each in job["spec"]["template"]["spec"]["containers"][0]["env"] if "DIGEST" in each["name"]]
        for job in (made.job, made.preflight_job)
    ]

    assert named == [[digest], [digest]]


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


def test_the_trainer_reads_from_run_yaml_what_the_user_asked_for() -> None:
    given = parsed(training={"learningRate": 5e-5, "arguments": {"warmup_steps": 100}}, resources={"gpus": 0})
    assert given.spec is not None

    text = children(given).config_map["data"]["run.yaml"]

    assert RunConfig.model_validate(json.loads(text)) == run_config(given, given.spec)
    assert json.loads(text)["job"] == {"namespace": "team-a", "name": "yelp", "uid": UID}
    assert json.loads(text)["output"] == {"uri": "pvc://yelp-0f9be1d4"}
    assert json.loads(text)["gpus"] == 0
    assert json.loads(text)["training"]["arguments"] == {"warmup_steps": 100}


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
        "annotations": {"example.com/note": "x"},
    }
    assert pod["containers"][0]["image"] == "mine:2"
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
    }
    assert {name: pod[name] for name in pod.keys() & given.spec.pod.to_wire().keys()} == {
        "serviceAccountName": "trainer",
        "imagePullSecrets": [{"name": "pull"}],
        "nodeSelector": {"gpu": "a100"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "priorityClassName": "low",
    }
    assert env["HF_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert env["HF_HOME"] == {"name": "HF_HOME", "value": "/mnt/cache"}
    assert len(env) == len(pod["containers"][0]["env"])
    assert env["OMP_NUM_THREADS"]["value"] == "4"


def test_a_claim_goes_with_the_job_only_where_that_is_asked_for() -> None:
    given = parsed(output={"size": "1Ti", "storageClassName": "fast", "retentionPolicy": "Delete"})

    claim = children(given).pvc

    assert claim is not None
    assert claim["metadata"]["ownerReferences"] == OWNERS
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Ti"}},
        "storageClassName": "fast",
    }


@pytest.mark.parametrize(
    ("before", "spec", "changed"),
    [
        ('{"backoffLimit": 3, "suspend": false}', {}, None),
        ('{"backoffLimit": 3, "suspend": false}', {"suspend": True}, {"suspend": True}),
        ('{"backoffLimit": 3, "suspend": true}', {}, {"suspend": False}),
        (
            '{"activeDeadlineSeconds": 60, "backoffLimit": 3, "suspend": false}',
            {},
            {"activeDeadlineSeconds": None},
        ),
        (
            '{"backoffLimit": 3, "suspend": false}',
            {"runPolicy": {"backoffLimit": 5, "activeDeadlineSeconds": 60}},
            {"backoffLimit": 5, "activeDeadlineSeconds": 60},
        ),
        # The time to live is nothing for a Job that runs.
        ('{"backoffLimit": 3, "suspend": false}', {"runPolicy": {"ttlSecondsAfterFinished": 60}}, None),
        # Somebody took our annotation away, or wrote nonsense into it: all wishes are said again.
        (None, {}, {"backoffLimit": 3, "suspend": False}),
        ("[]", {}, {"backoffLimit": 3, "suspend": False}),
        ("}", {}, {"backoffLimit": 3, "suspend": False}),
    ],
)
def test_only_a_change_of_our_own_wish_is_sent_to_a_running_job(
    before: str | None, spec: dict[str, Any], changed: dict[str, Any] | None
) -> None:
    given = parsed(**spec)
    assert given.spec is not None

    patch = changes(before, given.spec)

    assert (patch and patch["spec"]) == changed
    if patch:
        assert changes(patch["metadata"]["annotations"]["finetune.dev/requested"], given.spec) is None


def test_the_time_to_live_is_handed_over_after_the_end_once() -> None:
    given = parsed(runPolicy={"ttlSecondsAfterFinished": 60})
    assert given.spec is not None

    patch = changes_after_the_end('{"backoffLimit": 3, "suspend": false}', given.spec)

    assert patch == {
        "metadata": {
            "annotations": {
                "finetune.dev/requested": '{"backoffLimit": 3, "suspend": false, "ttlSecondsAfterFinished": 60}'
            }
        },
        "spec": {"ttlSecondsAfterFinished": 60},
    }
    assert changes_after_the_end(patch["metadata"]["annotations"]["finetune.dev/requested"], given.spec) is None
    assert changes_after_the_end('{"suspend": false}', parsed().spec or given.spec) is None
