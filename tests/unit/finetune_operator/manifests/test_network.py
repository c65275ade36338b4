"""A closed network's pods: authorities, the proxy and the Hub's endpoint of the frozen profile."""

from typing import Any

from tests.unit.finetune_operator.manifests.frozen import with_profile
from tests.unit.finetune_operator.samples import children


def container(made: Any) -> dict[str, Any]:
    return dict(made.job["spec"]["template"]["spec"]["containers"][0])


def environment(made: Any) -> dict[str, Any]:
    return {each["name"]: each for each in container(made)["env"]}


def test_the_authorities_of_a_profile_are_mounted_and_named_to_the_trainer() -> None:
    made = children(with_profile({"trust": {"configMapRef": {"name": "corporate-ca"}}}))

    for each in (made.job, made.preflight_job):
        pod = each["spec"]["template"]["spec"]
        assert {"name": "trust", "configMap": {"name": "corporate-ca"}} in pod["volumes"]
        mounts = pod["containers"][0]["volumeMounts"]
        assert {"name": "trust", "mountPath": "/var/run/finetune-trust", "readOnly": True} in mounts
        assert {"name": "FINETUNE_TRUST", "value": "/var/run/finetune-trust"} in pod["containers"][0]["env"]


def test_the_proxy_is_read_from_its_secret_and_never_used_for_reports() -> None:
    made = children(with_profile({"proxy": {"secretRef": {"name": "proxy"}}}))

    found = environment(made)
    assert found["HTTPS_PROXY"]["valueFrom"] == {
        "secretKeyRef": {"name": "proxy", "key": "HTTPS_PROXY", "optional": True}
    }
    assert found["HTTP_PROXY"]["valueFrom"]["secretKeyRef"]["key"] == "HTTP_PROXY"
    names = list(found)
    assert names.index("FINETUNE_NO_PROXY") < names.index("NO_PROXY")
    never = found["NO_PROXY"]["value"].split(",")
    assert (never[0], never[-1]) == ("operator", "$(FINETUNE_NO_PROXY)")
    assert {"localhost", "127.0.0.1", ".svc"} < set(never)


def test_the_hub_s_endpoint_is_the_profile_s_whatever_the_user_says() -> None:
    given = with_profile(
        {"hub": {"endpoint": "https://hub.corp.example"}}, pod={"env": [{"name": "HF_TOKEN", "value": "x"}]}
    )

    found = environment(children(given))

    assert found["HF_ENDPOINT"] == {"name": "HF_ENDPOINT", "value": "https://hub.corp.example"}
    assert "HF_TOKEN" in found


def test_a_job_without_a_profile_has_none_of_it() -> None:
    made = children(with_profile(None))

    assert not environment(made).keys() & {"FINETUNE_TRUST", "HTTPS_PROXY", "NO_PROXY", "HF_ENDPOINT", "FINETUNE_CACHE"}
    assert made.cache is None
