"""All children of the smallest job, whole."""

import hashlib

from tests.unit.finetune_operator.samples import LABELS, OWNERS, children, parsed, run_file_of


def test_the_smallest_job_gets_a_claim_and_a_hardened_job() -> None:
    made = children(parsed())
    digest = "sha256:" + hashlib.sha256(run_file_of(made.job).encode()).hexdigest()

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
                "metadata": {"labels": LABELS, "annotations": {"finetune.dev/run.yaml": run_file_of(made.job)}},
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
                                {"name": "FINETUNE_PROGRESS_DEADLINE", "value": "auto"},
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
                                {"name": "FINETUNE_OWN_VOLUME", "value": "/mnt/volumes/yelp-0f9be1d4"},
                                {"name": "FINETUNE_DOWNLOADS", "value": "/mnt/volumes/yelp-0f9be1d4/.downloads"},
                                {"name": "FINETUNE_TOKENS", "value": "/mnt/volumes/yelp-0f9be1d4/.tokens"},
                                {"name": "FINETUNE_RETRIES", "value": "3"},
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
                                        "downwardAPI": {
                                            "items": [
                                                {
                                                    "path": "run.yaml",
                                                    "fieldRef": {
                                                        "fieldPath": "metadata.annotations['finetune.dev/run.yaml']"
                                                    },
                                                }
                                            ]
                                        }
                                    },
                                    {
                                        "configMap": {
                                            "name": "finetune-operator-ca",
                                            "items": [{"key": "ca.crt", "path": "ca.crt"}],
                                        }
                                    },
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
    assert made.authority == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "finetune-operator-ca",
            "namespace": "team-a",
            "labels": {"app.kubernetes.io/managed-by": "finetune-operator", "finetune.dev/shared": "true"},
        },
        "data": {"ca.crt": "PEM"},
    }
