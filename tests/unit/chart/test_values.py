"""Each value is known, bounded, and reaches its place."""

import json

import helm_python
import pytest
import yaml
from tests.unit.chart.values import (
    CHART,
    DIGEST,
    EVERY_VALUE,
    SELECTOR,
    Json,
    Render,
)

from finetune_api.profile import SAFE_LIMITS
from finetune_operator.settings import Settings


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
