"""The operator's Deployment, of each shard, and the Service that leads to it."""

from tests.unit.chart.values import DIGEST, LABELS, SELECTOR, VERSION, Json, Render


def test_the_deployment_is_hardened_and_told_where_it_is(render: Render) -> None:
    deployment = render()["Deployment/ft-finetune-operator"]

    assert deployment == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "ft-finetune-operator", "namespace": "ft-system", "labels": LABELS},
        "spec": {
            "replicas": 2,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": SELECTOR},
            "template": {
                "metadata": {"labels": SELECTOR},
                "spec": {
                    "serviceAccountName": "ft-finetune-operator",
                    "automountServiceAccountToken": True,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "runAsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "operator",
                            "image": f"finetune-operator:{VERSION}",
                            "imagePullPolicy": "IfNotPresent",
                            "env": [
                                {
                                    "name": "FINETUNE_OPERATOR_NAMESPACE",
                                    "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
                                },
                                {"name": "FINETUNE_OPERATOR_TRAINER_IMAGE", "value": f"finetune-trainer:{VERSION}"},
                                {"name": "FINETUNE_OPERATOR_WATCH_NAMESPACES", "value": ""},
                                {"name": "FINETUNE_OPERATOR_DEFAULT_PROFILE", "value": "safe"},
                                {
                                    "name": "FINETUNE_OPERATOR_SAFE_LIMITS",
                                    "value": '{"activeDeadlineSeconds":604800,"backoffLimit":5,"cpu":"128","gpus":8,'
                                    '"memory":"512Gi","nodes":4,"outputSize":"1Ti"}',
                                },
                                {"name": "FINETUNE_OPERATOR_SECRET_NAME", "value": "ft-finetune-operator-reports"},
                                {"name": "FINETUNE_OPERATOR_SERVICE", "value": "ft-finetune-operator"},
                                {
                                    "name": "FINETUNE_OPERATOR_POD_IP",
                                    "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
                                },
                                {
                                    "name": "FINETUNE_OPERATOR_POD_NAME",
                                    "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
                                },
                                {
                                    "name": "FINETUNE_OPERATOR_POD_UID",
                                    "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}},
                                },
                                {
                                    "name": "FINETUNE_OPERATOR_REPORTS_URL",
                                    "value": "https://ft-finetune-operator.ft-system.svc:8443",
                                },
                                {"name": "FINETUNE_OPERATOR_REPORTS_PORT", "value": "8443"},
                                {"name": "FINETUNE_OPERATOR_HEALTH_PORT", "value": "8080"},
                                {"name": "FINETUNE_OPERATOR_METRICS_PORT", "value": "8081"},
                                {"name": "FINETUNE_OPERATOR_LOG_LEVEL", "value": "INFO"},
                                {"name": "FINETUNE_OPERATOR_LOG_FORMAT", "value": "json"},
                            ],
                            "ports": [
                                {"name": "reports", "containerPort": 8443, "protocol": "TCP"},
                                {"name": "health", "containerPort": 8080, "protocol": "TCP"},
                                {"name": "metrics", "containerPort": 8081, "protocol": "TCP"},
                            ],
                            "startupProbe": {
                                "httpGet": {"path": "/healthz", "port": "health"},
                                "periodSeconds": 2,
                                "timeoutSeconds": 5,
                                "failureThreshold": 150,
                            },
                            "livenessProbe": {
                                "httpGet": {"path": "/healthz", "port": "health"},
                                "periodSeconds": 20,
                                "timeoutSeconds": 5,
                                "failureThreshold": 3,
                            },
                            "readinessProbe": {
                                "httpGet": {"path": "/readyz", "port": "health"},
                                "periodSeconds": 5,
                                "timeoutSeconds": 5,
                            },
                            "resources": {
                                "requests": {"cpu": "50m", "memory": "160Mi"},
                                "limits": {"memory": "512Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                        }
                    ],
                    "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}],
                    "affinity": {
                        "podAntiAffinity": {
                            "preferredDuringSchedulingIgnoredDuringExecution": [
                                elsewhere(100, "kubernetes.io/hostname"),
                                elsewhere(50, "topology.kubernetes.io/zone"),
                            ]
                        }
                    },
                },
            },
        },
    }


def elsewhere(weight: int, topology: str) -> Json:
    return {
        "weight": weight,
        "podAffinityTerm": {"topologyKey": topology, "labelSelector": {"matchLabels": SELECTOR}},
    }


def test_the_platform_can_choose_the_user_of_all_pods(render: Render) -> None:
    objects = render(platformUser=True, page={"enabled": True})

    pods = {name: each["spec"]["template"]["spec"] for name, each in objects.items() if name.startswith("Deployment/")}
    pod = pods["Deployment/ft-finetune-operator"]
    assert len(pods) == 2
    assert [name for name, each in pods.items() if "runAs" in str(each).replace("runAsNonRoot", "")] == []
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert {"name": "FINETUNE_OPERATOR_PLATFORM_USER", "value": "true"} in pod["containers"][0]["env"]


def test_the_service_selects_no_pod_since_the_leader_says_where_it_leads_to(render: Render) -> None:
    assert render()["Service/ft-finetune-operator"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ft-finetune-operator", "namespace": "ft-system", "labels": LABELS},
        "spec": {
            "selector": {**SELECTOR, "finetune.dev/endpoints": "written-by-the-leader"},
            "ports": [{"name": "reports", "port": 8443, "targetPort": "reports", "protocol": "TCP"}],
        },
    }


def test_a_digest_wins_over_the_tag_of_either_image(render: Render) -> None:
    images = {
        "image": {"repository": "r.example.com/operator", "tag": "1", "digest": DIGEST},
        "trainerImage": {"repository": "r.example.com/trainer", "tag": "2", "digest": DIGEST},
    }

    container = render(**images)["Deployment/ft-finetune-operator"]["spec"]["template"]["spec"]["containers"][0]

    env = {each["name"]: each.get("value") for each in container["env"]}
    assert container["image"] == f"r.example.com/operator@{DIGEST}"
    assert env["FINETUNE_OPERATOR_TRAINER_IMAGE"] == f"r.example.com/trainer@{DIGEST}"


def test_each_shard_has_a_deployment_a_service_and_a_lease_and_the_first_those_of_an_operator_without(
    render: Render,
) -> None:
    objects = render(shards=3)

    names = ["ft-finetune-operator", "ft-finetune-operator-shard-1", "ft-finetune-operator-shard-2"]
    hosts = ",".join(f"{name}.ft-system.svc" for name in names)
    assert {f"{kind}/{name}" for kind in ("Deployment", "Service") for name in names} <= set(objects)
    for number, name in enumerate(names):
        deployment = objects[f"Deployment/{name}"]["spec"]
        env = {each["name"]: each.get("value") for each in deployment["template"]["spec"]["containers"][0]["env"]}
        labels = {**SELECTOR, **({"finetune.dev/shard": str(number)} if number else {})}
        assert deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"] == labels
        assert env["FINETUNE_OPERATOR_SHARD"] == f"{number}/3"
        assert env["FINETUNE_OPERATOR_SERVICE"] == name
        assert env["FINETUNE_OPERATOR_REPORTS_URL"] == f"https://{name}.ft-system.svc:8443"
        assert env["FINETUNE_OPERATOR_MORE_REPORT_HOSTS"] == hosts
    home = objects["Role/ft-finetune-operator-reports"]["rules"]
    named = {each["resources"][0]: each["resourceNames"] for each in home if "resourceNames" in each}
    secret = "ft-finetune-operator-reports"
    assert named["leases"] == [secret, f"{secret}-1", f"{secret}-2"]
    assert named["endpointslices"] == [f"{name}-leader" for name in names]
