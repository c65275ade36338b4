import json

import helm_python
import pytest
import yaml
from tests.unit.chart.values import DIGEST, EVERY_VALUE, LABELS, NAMESPACED_RULES, ROOT, SELECTOR, VERSION, Json, Render

from finetune_api.profile import SAFE_LIMITS
from finetune_operator.settings import Settings

CHART = ROOT / "charts" / "finetune-operator"


CRD = "CustomResourceDefinition/finetunejobs.finetune.dev"


OWN_POLICY = "ft-finetune-operator.ft-system.operator.finetune.dev"


def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    found = helm_python.lint(CHART, strict=True)

    assert (found["errors"], [each["error"] for each in found["messages"]]) == ([], ["icon is recommended"])


def test_the_default_release_has_these_objects(render: Render) -> None:
    assert sorted(render()) == [
        "ClusterRole/ft-system:ft-finetune-operator",
        "ClusterRole/ft-system:ft-finetune-operator:edit",
        "ClusterRole/ft-system:ft-finetune-operator:profile-admin",
        "ClusterRole/ft-system:ft-finetune-operator:profile-view",
        "ClusterRole/ft-system:ft-finetune-operator:view",
        "ClusterRoleBinding/ft-system:ft-finetune-operator",
        "ClusterRoleBinding/ft-system:ft-finetune-operator:profile-view",
        CRD,
        "CustomResourceDefinition/finetuneprofiles.finetune.dev",
        "Deployment/ft-finetune-operator",
        "NetworkPolicy/ft-finetune-operator",
        "PodDisruptionBudget/ft-finetune-operator",
        "Role/ft-finetune-operator-reports",
        "RoleBinding/ft-finetune-operator-reports",
        "Service/ft-finetune-operator",
        "Service/ft-finetune-operator-metrics",
        "ServiceAccount/ft-finetune-operator",
        "ValidatingAdmissionPolicy/finetunejobs.finetune.dev",
        "ValidatingAdmissionPolicy/finetuneprofiles.finetune.dev",
        f"ValidatingAdmissionPolicy/{OWN_POLICY}",
        f"ValidatingAdmissionPolicy/kept.{OWN_POLICY}",
        "ValidatingAdmissionPolicy/orphans.finetunejobs.finetune.dev",
        "ValidatingAdmissionPolicy/size.finetuneprofiles.finetune.dev",
        "ValidatingAdmissionPolicyBinding/finetunejobs.finetune.dev",
        "ValidatingAdmissionPolicyBinding/finetuneprofiles.finetune.dev",
        f"ValidatingAdmissionPolicyBinding/{OWN_POLICY}",
        f"ValidatingAdmissionPolicyBinding/kept.{OWN_POLICY}",
        "ValidatingAdmissionPolicyBinding/orphans.finetunejobs.finetune.dev",
        "ValidatingAdmissionPolicyBinding/size.finetuneprofiles.finetune.dev",
    ]


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


def test_every_value_reaches_its_place(render: Render) -> None:
    objects = render(**EVERY_VALUE)

    deployment = objects["Deployment/tuner"]
    pod = deployment["spec"]["template"]
    container = pod["spec"]["containers"][0]
    env = {each["name"].removeprefix("FINETUNE_OPERATOR_"): each.get("value") for each in container["env"]}
    assert (container["image"], container["imagePullPolicy"]) == (f"registry.example.com/operator@{DIGEST}", "Always")
    assert container["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"cpu": "50m", "memory": "160Mi"}}
    assert env == {
        "KUEUE": "true",
        "NAMESPACE": None,
        "TRAINER_IMAGE": "registry.example.com/trainer:4.5.6",
        "PLATFORM_USER": "true",
        "NETWORK_POLICY": "false",
        "WATCH_NAMESPACES": "team-a,team-b",
        "DEFAULT_PROFILE": "open",
        "SAFE_LIMITS": '{"activeDeadlineSeconds":604800,"backoffLimit":5,"cpu":"128","gpus":2,"memory":"512Gi","outputSize":"1Ti"}',
        "SECRET_NAME": "tuner-reports",
        "SERVICE": "tuner",
        "POD_IP": None,
        "POD_NAME": None,
        "POD_UID": None,
        "REPORTS_URL": "https://reports.example.com",
        "REPORTS_PORT": "8443",
        "HEALTH_PORT": "8080",
        "METRICS_PORT": "8081",
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "text",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.monitoring:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
        "WORKERS": "16",
    }
    assert pod["metadata"] == {
        "labels": {**SELECTOR, "team": "platform"},
        "annotations": {"example.com/scrape": "true"},
    }
    placement = (
        "serviceAccountName",
        "imagePullSecrets",
        "nodeSelector",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
        "priorityClassName",
    )
    assert {name: pod["spec"][name] for name in placement} == {
        "serviceAccountName": "tuner-account",
        **{name: EVERY_VALUE[name] for name in placement[1:]},
    }
    assert objects["ServiceAccount/tuner-account"]["metadata"]["annotations"] == {"example.com/role": "tuner"}
    assert deployment["spec"]["replicas"] == 3
    assert objects["Service/tuner"]["spec"]["ports"][0]["port"] == 443
    assert objects["PodDisruptionBudget/tuner"]["spec"]["maxUnavailable"] == 0
    subjects = objects["ClusterRoleBinding/ft-system:tuner:profile-view"]["subjects"]
    assert [each["name"] for each in subjects] == ["platform", "tenants"]


def test_a_digest_wins_over_the_tag_of_either_image(render: Render) -> None:
    images = {
        "image": {"repository": "r.example.com/operator", "tag": "1", "digest": DIGEST},
        "trainerImage": {"repository": "r.example.com/trainer", "tag": "2", "digest": DIGEST},
    }

    container = render(**images)["Deployment/ft-finetune-operator"]["spec"]["template"]["spec"]["containers"][0]

    env = {each["name"]: each.get("value") for each in container["env"]}
    assert container["image"] == f"r.example.com/operator@{DIGEST}"
    assert env["FINETUNE_OPERATOR_TRAINER_IMAGE"] == f"r.example.com/trainer@{DIGEST}"


def test_the_page_is_left_out_unless_it_is_asked_for(render: Render) -> None:
    assert [name for name in render() if name.endswith("-page")] == []


def test_the_page_has_no_token_and_no_rights_of_its_own(render: Render) -> None:
    objects = render(page={"enabled": True, "reachedFrom": ["ingress"]})
    mine = {name: each for name, each in objects.items() if name.endswith("-page")}

    assert set(mine) == {f"{kind}/ft-finetune-operator-page" for kind in ("Deployment", "Service", "NetworkPolicy")}
    pod = mine["Deployment/ft-finetune-operator-page"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    (cluster,) = (each["projected"]["sources"] for each in pod["volumes"] if each["name"] == "cluster")
    assert {name for source in cluster for name in source} == {"configMap", "downwardAPI"}
    assert pod["containers"][0]["command"] == ["python", "-m", "finetune_page"]


def test_the_page_s_pods_are_none_of_the_operator_s(render: Render) -> None:
    objects = render(page={"enabled": True})
    page = objects["Deployment/ft-finetune-operator-page"]["spec"]
    labels = page["template"]["metadata"]["labels"]

    assert page["selector"]["matchLabels"] == labels
    assert objects["Service/ft-finetune-operator-page"]["spec"]["selector"] == labels
    assert labels["app.kubernetes.io/name"] != SELECTOR["app.kubernetes.io/name"]


def test_the_drain_of_a_node_is_not_held_up(render: Render) -> None:
    assert render()["PodDisruptionBudget/ft-finetune-operator"]["spec"] == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": SELECTOR},
    }


def test_what_a_network_or_a_cluster_does_not_want_can_be_left_out(render: Render) -> None:
    objects = render(
        networkPolicy={"enabled": False}, podDisruptionBudget={"enabled": False}, rbac={"admissionPolicy": False}
    )

    left = ("NetworkPolicy/", "PodDisruptionBudget/", f"ValidatingAdmissionPolicy/{OWN_POLICY}")
    assert not [name for name in objects if name.startswith(left)]


def test_every_environment_variable_is_one_of_the_operator_s_settings(render: Render) -> None:
    container = render(**EVERY_VALUE)["Deployment/tuner"]["spec"]["template"]["spec"]["containers"][0]

    names = {each["name"].removeprefix("FINETUNE_OPERATOR_").lower() for each in container["env"]}

    # OpenTelemetry has variables of its own.
    assert {name for name in names if not name.startswith("otel_")} <= set(Settings.model_fields)


def test_the_default_values_are_settings_that_the_operator_takes(
    render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = render()["Deployment/ft-finetune-operator"]["spec"]["template"]["spec"]["containers"][0]
    for each in container["env"]:
        monkeypatch.setenv(each["name"], each.get("value", "ft-system"))

    settings = Settings()

    assert (settings.namespace, settings.watch_namespaces, settings.report_hosts()) == (
        "ft-system",
        (),
        ["ft-finetune-operator.ft-system.svc", "localhost", "127.0.0.1"],
    )
    assert settings.safe_limits == SAFE_LIMITS


def test_a_limit_of_the_safe_profile_that_is_null_is_none(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    container = render(safeLimits={"gpus": 2, "nodes": None})["Deployment/ft-finetune-operator"]["spec"]["template"]
    env = {each["name"]: each.get("value", "") for each in container["spec"]["containers"][0]["env"]}
    monkeypatch.setenv("FINETUNE_OPERATOR_SAFE_LIMITS", env["FINETUNE_OPERATOR_SAFE_LIMITS"])

    assert Settings().safe_limits == SAFE_LIMITS.model_copy(update={"gpus": 2, "nodes": None})


@pytest.mark.parametrize("plural", ["finetunejobs", "finetuneprofiles"])
def test_the_crds_are_the_generated_ones_and_outlive_the_release(render: Render, plural: str) -> None:
    generated = yaml.load((ROOT / "crds" / f"{plural}.yaml").read_text(), Loader=yaml.CSafeLoader)

    rendered = render()[f"CustomResourceDefinition/{plural}.finetune.dev"]

    metadata = rendered.pop("metadata")
    assert rendered == {key: value for key, value in generated.items() if key != "metadata"}
    assert metadata == {
        "name": f"{plural}.finetune.dev",
        "labels": LABELS,
        "annotations": {"helm.sh/resource-policy": "keep"},
    }


def test_the_policies_beside_the_crds_are_the_generated_ones(render: Render) -> None:
    generated = list(yaml.load_all((ROOT / "crds" / "finetunejobs-policy.yaml").read_text(), Loader=yaml.CSafeLoader))

    rendered = render()

    for each in generated:
        name = each["metadata"]["name"]
        assert rendered[f"{each['kind']}/{name}"] == {
            **each,
            "metadata": {"name": name, "labels": LABELS},
        }


def test_the_crds_and_their_policy_can_be_left_to_somebody_else(render: Render) -> None:
    assert not [
        name for name in render(crds={"install": False}) if name.endswith(".finetune.dev") and OWN_POLICY not in name
    ]


def test_names_stay_within_their_bounds_and_of_different_releases_apart(render: Render) -> None:
    long = "a" * 53
    objects = render(release=long)

    assert all(
        len(name.partition("/")[2]) <= 63
        for name in objects
        if not name.startswith(("Cluster", "Custom", "Validating"))
    )
    cluster_wide = [name for name in objects if name.startswith("Cluster") or ".operator.finetune.dev" in name]
    assert not set(cluster_wide) & set(render(release=long, namespace="other"))


def test_a_release_that_looks_like_a_number_is_still_a_name(render: Render) -> None:
    deployment = render(release="1e5")["Deployment/1e5-finetune-operator"]

    assert deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "1e5"


def test_kueue_is_read_and_its_workloads_deactivated_where_it_is_asked_for(render: Render) -> None:
    kueue = [
        {"apiGroups": ["kueue.x-k8s.io"], "resources": ["workloads"], "verbs": ["list", "patch"]},
        {
            "apiGroups": ["visibility.kueue.x-k8s.io"],
            "resources": ["localqueues/pendingworkloads"],
            "verbs": ["get"],
        },
    ]

    objects = render(kueue=True, watchNamespaces=["team-a"])

    assert objects["Role/team-a/ft-finetune-operator"]["rules"] == [*NAMESPACED_RULES, *kueue]
    container = objects["Deployment/ft-finetune-operator"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "FINETUNE_OPERATOR_KUEUE", "value": "true"} in container["env"]


BETWEEN = [pytest.param(f"1.{minor}", marks=pytest.mark.slow) for minor in range(31, 37)]
"""Versions of Kubernetes between the oldest and the newest that are supported."""


@pytest.mark.thorough
@pytest.mark.parametrize("version", ["1.30", *BETWEEN, "1.37"])
@pytest.mark.parametrize("values", [{}, EVERY_VALUE, {"watchNamespaces": ["team-a"]}], ids=["default", "all", "one"])
def test_every_object_is_what_the_kubernetes_api_takes(render: Render, values: Json, version: str) -> None:
    from tests.unit.kubernetes_schemas import check_taken  # a second of CPU, in the one worker that runs this

    for each in render(**values).values():
        check_taken(each, version)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"imagee": {}}, "imagee"),
        ({"image": {"repository": ""}}, "/image/repository"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"watchNamespaces": ["Team A"]}, "/watchNamespaces/0"),
        ({"watchNamespace": "team-a"}, "watchNamespace"),
        ({"image": {"digest": "0123"}}, "/image/digest"),
        ({"trainerImage": {"tag": "a b"}}, "/trainerImage/tag"),
        ({"networkPolicy": {"apiServerCidrs": ["10.0.0.1"]}}, "/networkPolicy/apiServerCidrs/0"),
        ({"networkPolicy": {"apiServerPorts": []}}, "/networkPolicy/apiServerPorts"),
        ({"podDisruptionBudget": {"maxUnavailable": -1}}, "/podDisruptionBudget/maxUnavailable"),
        ({"reports": {"port": 0}}, "/reports/port"),
        ({"reports": {"url": "http://reports"}}, "/reports/url"),
        ({"log": {"level": "LOUD"}}, "/log/level"),
        ({"traces": {"endpoint": "collector:4318"}}, "/traces/endpoint"),
        ({"traces": {"endpoint": "http://user:word@collector:4318"}}, "/traces/endpoint"),
        ({"traces": {"share": 10}}, "/traces/share"),
        ({"crds": {"install": "yes"}}, "/crds/install"),
        ({"safeLimits": {"gpus": "many"}}, "/safeLimits/gpus"),
        ({"safeLimits": {"memory": "512 GB"}}, "/safeLimits/memory"),
        ({"safeLimits": {"gpu": 8}}, "gpu"),
    ],
)
def test_a_wrong_value_is_refused_by_name(chart: helm_python.Chart, values: Json, named: str) -> None:
    with pytest.raises(helm_python.HelmValuesError) as refused:
        chart.validate_schema(values)

    assert named in str(refused.value)


def test_every_value_is_in_the_schema_and_explained() -> None:
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())

    def keys(values: Json, properties: Json, path: str = "") -> list[tuple[str, bool]]:
        found = []
        for key, value in values.items():
            nested = properties.get(key, {}).get("properties")
            found.append((path + key, key in properties))
            if isinstance(value, dict) and nested:
                found += keys(value, nested, f"{path}{key}.")
        return found

    known = keys(yaml.safe_load(text), schema["properties"])
    unknown = [key for key, is_known in known if not is_known]
    assert unknown == []
    assert {key for key in schema["properties"] if key != "global"} == set(yaml.safe_load(text))


def test_the_notes_say_what_to_do_next(chart: helm_python.Chart) -> None:
    notes = chart.render({}, name="ft", namespace="ft-system")["finetune-operator/templates/NOTES.txt"]

    assert "kubectl -n ft-system rollout status deployment/ft-finetune-operator" in notes
    assert "the Secret ft-finetune-operator-reports" in notes
    assert "--clusterrole=ft-system:ft-finetune-operator:profile-admin" in notes


def test_the_notes_ask_for_digests_until_both_images_have_one(chart: helm_python.Chart) -> None:
    pinned = {"image": {"digest": DIGEST}, "trainerImage": {"digest": DIGEST}}

    by_tag, by_digest = (
        chart.render(values, name="ft", namespace="ft-system")["finetune-operator/templates/NOTES.txt"]
        for values in ({}, pinned)
    )

    assert "image.digest and trainerImage.digest" in by_tag
    assert "image.digest" not in by_digest


def test_the_chart_carries_the_version_of_the_program() -> None:
    from importlib.metadata import version

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (chart["version"], chart["appVersion"]) == (version("finetune-operator"), version("finetune-operator"))


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
