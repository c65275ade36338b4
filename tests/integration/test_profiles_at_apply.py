"""Jobs and their profiles at apply: what the admission policy says, on the dev cluster and on a real API server."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import yaml
from tests.integration.fixtures import ROOT
from tests.unit.finetune_api.profile_cases import BASE, CASES, JOB, NAMESPACES, Case

from devcluster.cluster import Cluster
from devcluster.testing.api import MERGE, Answer, Api, eventually
from finetune_api.profile import KIND, PLURAL
from finetune_api.v1alpha1 import API_VERSION

_POLICIES: Final = "/apis/admissionregistration.k8s.io/v1"
_PROFILES: Final = f"/apis/{API_VERSION}/{PLURAL}"


def jobs(namespace: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/finetunejobs"


def job(spec: dict[str, Any], name: str = JOB) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "FineTuneJob", "metadata": {"name": name}, "spec": {**BASE, **spec}}


def make_profile(api: Api, name: str, spec: dict[str, Any]) -> None:
    made = api("POST", _PROFILES, {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec})
    assert made.code == 201, made.message


@pytest.fixture(scope="module")
def make(finetune_crd: Cluster, api: Api) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Makes profiles. The admission policy is in force, and the namespaces of the cases are there."""
    documents = list(yaml.safe_load_all((ROOT / "crds" / "finetunejobs-policy.yaml").read_text()))[2:4]
    plurals = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    for plural, document in zip(plurals, documents, strict=True):
        made = api("POST", f"{_POLICIES}/{plural}", document)
        assert made.code == 201, made.message
    for namespace, labels in NAMESPACES.items():
        assert api("POST", "/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels}}).code == 201
    names = []

    def profile(name: str, spec: dict[str, Any]) -> None:
        names.append(name)
        make_profile(api, name, spec)

    # A real API server looks for new kinds of parameters every half a minute, and refuses every job until then.
    profile("probe", {"limits": {"gpus": 0}})
    eventually(
        lambda: (
            "limits.gpus is 0" in apply(api, {"profile": "probe", "resources": {"gpus": 1}}).body.get("message", "")
        ),
        "the policy to be in force",
    )
    yield profile
    for name in names:
        api("DELETE", f"{_PROFILES}/{name}")
    for namespace in NAMESPACES:
        api("DELETE", f"/api/v1/namespaces/{namespace}")
    for plural, document in zip(reversed(plurals), reversed(documents), strict=True):
        api("DELETE", f"{_POLICIES}/{plural}/{document['metadata']['name']}")


def apply(api: Api, spec: dict[str, Any], namespace: str = "profiles-a") -> Answer:
    return api("POST", f"{jobs(namespace)}?dryRun=All", job(spec))


def said(answer: Answer) -> str | None:
    """What the policy says; None if the job is taken."""
    if answer.code == 201:
        return None
    assert answer.code == 422, answer.body
    return answer.message.partition("denied request: ")[2]


@pytest.fixture(scope="module")
def case_profiles(make: Callable[[str, dict[str, Any]], None], api: Api) -> list[tuple[Case, str]]:
    """Each case with the name of its profile."""
    profiles = {json.dumps(case.profile): case.profile for case in CASES}
    names = {text: f"case-{number}" for number, text in enumerate(profiles)}
    for text, profile in profiles.items():
        make(names[text], profile)
    make("last", {"limits": {"gpus": 0}})
    # Profiles come to the policy in the order in which they are made.
    eventually(
        lambda: apply(api, {"profile": "last", "resources": {"gpus": 1}}).code == 422, "the policy to know all profiles"
    )
    return [(case, names[json.dumps(case.profile)]) for case in CASES]


@pytest.mark.slow
def test_the_policy_says_of_each_job_what_the_operator_says(case_profiles: list[tuple[Case, str]], api: Api) -> None:
    wrong = []
    for case, name in case_profiles:
        answer = said(apply(api, {**case.spec, "profile": name}, case.namespace))
        expected = case.message and f"profile {name}: {case.message}"
        if not (answer is None if expected is None else str(answer).startswith(expected)):
            wrong.append((case, answer))

    assert wrong == []


def test_the_policy_has_no_fault_that_a_type_check_finds(make: object, api: Api) -> None:
    status = api("GET", f"{_POLICIES}/validatingadmissionpolicies/{PLURAL}.finetune.dev").body["status"]

    assert status.get("typeChecking", {}).get("expressionWarnings", []) == []


@pytest.mark.slow
def test_the_largest_job_under_the_largest_profile_is_within_the_cost_that_a_policy_may_have(
    make: Callable[[str, dict[str, Any]], None], api: Api
) -> None:
    globs = [f"{'a*' * 4}{'a' * 20}{number:04}" for number in range(31)]
    lists = ("images", "serviceAccounts", "secrets", "configMaps", "priorityClasses", "sources", "outputs", "env",
             "tolerations", "nodeSelectorKeys", "labels", "annotations", "accelerators", "runtimeClasses", "schedulers",
             "volumes", "claims")  # fmt: skip
    keys = {"matchExpressions": [{"key": f"{'a' * 253}/{'a' * 60}", "operator": "Exists"}] * 8}
    labels = {f"{'a' * 240}.b/{'a' * 60}{number:02}": "x" for number in range(32)}
    secret = {"secretKeyRef": {"name": "a" * 253, "key": "k"}}
    pod = {
        "image": "a" * 512,
        "serviceAccountName": "a" * 253,
        "priorityClassName": "a" * 253,
        "imagePullSecrets": [{"name": "a" * 253}] * 8,
        "nodeSelector": labels,
        "labels": labels,
        "annotations": dict([*labels.items()][:24]),
        "accelerator": {"resource": f"{'a' * 126}/{'a' * 126}"},
        "runtimeClassName": "a" * 253,
        "schedulerName": "a" * 253,
        "volumes": [{"name": f"v{number}", "secret": {"secretName": "a" * 253}} for number in range(8)],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [keys] * 4},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": keys}] * 4,
            }
        },
        "tolerations": [{"key": "a" * 317, "operator": "Exists"}] * 16,
        "env": [{"name": f"{'a' * 126}{number:02}", "valueFrom": secret} for number in range(40)],
    }
    source, output = f"s3://{'a' * 507}", f"s3://{'a' * 507}"
    spec = {
        "model": {"source": source, "secretRef": {"name": "a" * 253}},
        "dataset": {**BASE["dataset"], "source": source, "secretRef": {"name": "a" * 253}},
        "output": {"uri": output, "secretRef": {"name": "a" * 253}},
        "pod": pod,
    }
    make("large", {"allow": {name: [*globs, "*"] for name in lists}})
    make("large-last", {"allow": {**{name: [*globs, "*"] for name in lists}, "annotations": globs}})
    eventually(
        lambda: said(apply(api, {**spec, "profile": "large-last"})) is not None, "the policy to know the profile"
    )

    assert said(apply(api, {**spec, "profile": "large"})) is None
    assert "spec.pod.annotations" in str(said(apply(api, {**spec, "profile": "large-last"})))


@pytest.mark.slow
def test_a_namespace_s_label_chooses_the_profile_and_a_change_of_a_running_job_is_ruled_too(
    make: Callable[[str, dict[str, Any]], None], api: Api
) -> None:
    label = {"metadata": {"labels": {"finetune.dev/profile": "labelled"}}}
    assert api("PATCH", "/api/v1/namespaces/profiles-b", label, MERGE).code == 200
    make("labelled", {"limits": {"gpus": 2, "backoffLimit": 3}})
    over = {"resources": {"gpus": 3}}
    eventually(lambda: apply(api, over, "profiles-b").code == 422, "the policy to know the profile and the label")

    refused = said(apply(api, over, "profiles-b"))
    made = api("POST", jobs("profiles-b"), job({}, "kept"))
    changed = [said_of_change(api, {"runPolicy": {"backoffLimit": limit}, "suspend": True}) for limit in (4, 3, 2)]
    renamed = api("PATCH", f"{jobs('profiles-b')}/kept?dryRun=All", {"spec": {"profile": "probe"}}, MERGE)

    assert refused == "profile labelled: spec.resources.gpus 3 is too much; limits.gpus is 2"
    assert made.code == 201
    assert changed == [
        "profile labelled: spec.runPolicy.backoffLimit 4 is too much; limits.backoffLimit is 3",
        None,
        None,
    ]
    assert renamed.code == 422
    assert "spec.profile: Invalid value: immutable" in renamed.message
    anew = [said_of_change(api, {"runToken": "2", "resources": {"gpus": gpus}}) for gpus in (3, 2)]
    assert anew == [refused, None]
    assert (
        said_of_change(api, {"runToken": "2", "profile": "probe", "resources": {"gpus": 1}})
        == "profile probe: spec.resources.gpus 1 is too much; limits.gpus is 0"
    )


def said_of_change(api: Api, spec: dict[str, Any]) -> str | None:
    answer = api("PATCH", f"{jobs('profiles-b')}/kept?dryRun=All", {"spec": spec}, MERGE)
    return None if answer.code == 200 else answer.message.partition("denied request: ")[2]
