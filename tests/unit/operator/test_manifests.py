"""Whole manifests of the children."""

import json
from typing import Any

import pytest
from tests.unit.operator.samples import UID, resource

from finetune_api.run import RunConfig
from finetune_operator.manifests import build_children
from finetune_operator.manifests.config_map import run_config
from finetune_operator.manifests.job import changes, changes_after_the_end
from finetune_operator.manifests.pod import Surroundings
from finetune_operator.manifests.pvc import build_pvc
from finetune_operator.resource import Resource

SURROUNDINGS = Surroundings(image="trainer:1", reports_url="https://operator:8443", ca="PEM")
LABELS = {
    "app.kubernetes.io/name": "finetune",
    "app.kubernetes.io/component": "trainer",
    "app.kubernetes.io/managed-by": "finetune-operator",
    "finetune.dev/job-name": "yelp",
    "finetune.dev/job-uid": UID,
}
OWNERS = [
    {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "name": "yelp",
        "uid": UID,
        "controller": True,
        "blockOwnerDeletion": True,
    }
]


def children(given: Resource) -> Any:
    assert given.spec is not None
    return build_children(given, given.spec, SURROUNDINGS)


def test_the_smallest_job_gets_a_config_map_a_claim_and_a_hardened_job() -> None:
    made = children(resource())

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
                        "onExitCodes": {"containerName": "trainer", "operator": "In", "values": [17, 143]},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
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
                        {"name": "config", "configMap": {"name": "yelp-run"}},
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
    assert made.config_map["data"]["ca.crt"] == "PEM"


def test_the_trainer_reads_from_run_yaml_what_the_user_asked_for() -> None:
    given = resource(training={"learningRate": 5e-5, "arguments": {"warmup_steps": 100}}, resources={"gpus": 0})
    assert given.spec is not None

    text = children(given).config_map["data"]["run.yaml"]

    assert RunConfig.model_validate(json.loads(text)) == run_config(given, given.spec)
    assert json.loads(text)["job"] == {"namespace": "team-a", "name": "yelp", "uid": UID}
    assert json.loads(text)["output"] == {"uri": "pvc://yelp-0f9be1d4"}
    assert json.loads(text)["gpus"] == 0
    assert json.loads(text)["training"]["arguments"] == {"warmup_steps": 100}


def test_claims_are_mounted_once_each_and_only_the_output_can_be_written_to() -> None:
    given = resource(
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


def test_what_a_pod_needs_on_a_cluster_goes_to_the_pod_as_it_stands() -> None:
    given = resource(
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
            "labels": {"kueue.x-k8s.io/queue-name": "team-a"},
            "annotations": {"example.com/note": "x"},
        },
        resources={"gpus": 1, "cpu": "4", "memory": "16Gi"},
    )

    job = children(given).job
    pod = job["spec"]["template"]["spec"]
    env = {each["name"]: each for each in pod["containers"][0]["env"]}

    assert job["metadata"]["labels"] == {**LABELS, "kueue.x-k8s.io/queue-name": "team-a"}
    assert job["spec"]["template"]["metadata"] == {
        "labels": {**LABELS, "kueue.x-k8s.io/queue-name": "team-a"},
        "annotations": {"example.com/note": "x"},
    }
    assert pod["containers"][0]["image"] == "mine:2"
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
    }
    assert {name: pod[name] for name in pod.keys() & given.spec.pod.to_wire().keys()} == {  # type: ignore[union-attr]
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
    container = children(resource(resources=resources)).job["spec"]["template"]["spec"]["containers"][0]

    assert [each["value"] for each in container["env"] if each["name"] == "OMP_NUM_THREADS"] == [threads]


def test_many_pods_find_the_first_of_them_by_a_headless_service() -> None:
    made = children(resource(resources={"gpus": 8, "nodes": 4}))
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
    made = children(resource(resources={"gpus": 0, "processesPerNode": 2}))
    pod = made.job["spec"]["template"]["spec"]

    assert made.service is None
    assert "subdomain" not in pod
    assert not {"FINETUNE_RENDEZVOUS", "FINETUNE_NODE_RANK"} & {each["name"] for each in pod["containers"][0]["env"]}
    assert json.loads(made.config_map["data"]["run.yaml"])["processesPerNode"] == 2


def test_credentials_are_files_for_the_pods_user_and_stand_nowhere_else() -> None:
    given = resource(
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


def test_a_claim_goes_with_the_job_only_where_that_is_asked_for() -> None:
    given = resource(output={"size": "1Ti", "storageClassName": "fast", "retentionPolicy": "Delete"})
    assert given.spec is not None

    claim = build_pvc(given, given.spec)

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
    given = resource(**spec)
    assert given.spec is not None

    patch = changes(before, given.spec)

    assert (patch and patch["spec"]) == changed
    if patch:
        assert changes(patch["metadata"]["annotations"]["finetune.dev/requested"], given.spec) is None


def test_the_time_to_live_is_handed_over_after_the_end_once() -> None:
    given = resource(runPolicy={"ttlSecondsAfterFinished": 60})
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
    assert changes_after_the_end('{"suspend": false}', resource().spec or given.spec) is None
