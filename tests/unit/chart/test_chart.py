"""A release is what Helm and the Kubernetes API take, and has these objects."""

import helm_python
import pytest
import yaml
from tests.unit.chart.values import CHART, DIGEST, EVERY_VALUE, OWN_POLICY, SELECTOR, Json, Render

CRD = "CustomResourceDefinition/finetunejobs.finetune.dev"


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


BETWEEN = [pytest.param(f"1.{minor}", marks=pytest.mark.slow) for minor in range(31, 37)]
"""Versions of Kubernetes between the oldest and the newest that are supported."""


@pytest.mark.thorough
@pytest.mark.parametrize("version", ["1.30", *BETWEEN, "1.37"])
@pytest.mark.parametrize("values", [{}, EVERY_VALUE, {"watchNamespaces": ["team-a"]}], ids=["default", "all", "one"])
def test_every_object_is_what_the_kubernetes_api_takes(render: Render, values: Json, version: str) -> None:
    from tests.unit.kubernetes_schemas import check_taken  # a second of CPU, in the one worker that runs this

    for each in render(**values).values():
        check_taken(each, version)


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
