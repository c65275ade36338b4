"""The page is there where it is asked for, with no rights of its own."""

from tests.unit.chart.values import SELECTOR, Render


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
