"""How much of a spec an API server takes: 64 KiB as it sends it, whatever the spec is full of.

Only a real one: the dev cluster's `format` writes no quotes and escapes, so that it lets somewhat more through.
"""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.integration.fixtures import ROOT, finetunejob

from devcluster.cluster import Cluster
from devcluster.testing.api import Answer, Api, eventually
from finetune_api.policy import MAX_KEPT_BYTES, MAX_SPEC_BYTES
from finetune_api.profile import ProfileSettings
from finetune_api.status import MAX_PROFILE_SETTINGS

Json = dict[str, Any]
_POLICIES = "/apis/admissionregistration.k8s.io/v1/"
_JOBS = "/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs?dryRun=All"
_PROFILES = "/apis/finetune.dev/v1alpha1/finetuneprofiles?dryRun=All"
_WORDS = re.compile(rf"spec: takes \d+ bytes as JSON, and at most {MAX_SPEC_BYTES} fit$")


@pytest.fixture(scope="module")
def policies(finetune_crd: Cluster, api: Api, pytestconfig: pytest.Config) -> Iterator[None]:
    """The policies that bound a spec, in force."""
    if not (os.environ.get("KUBEBUILDER_ASSETS") or pytestconfig.getoption("--kube-context")):
        pytest.skip(
            "the bytes that count are those that a real API server keeps of an object, its managed fields among them"
        )
    documents = list(yaml.safe_load_all((ROOT / "crds" / "finetunejobs-policy.yaml").read_text()))
    documents = [*documents[:2], *documents[4:6]]
    plurals = ("validatingadmissionpolicies", "validatingadmissionpolicybindings") * 2
    paths = [_POLICIES + plural for plural in plurals]
    for path, document in zip(paths, documents, strict=True):
        made = api("POST", path, document)
        assert made.code == 201, made.message
    eventually(lambda: make(api, wide(4, 800)).code == 422, "the policy of jobs to be in force")
    eventually(lambda: make_profile(api, wide(4, 800)).code == 422, "the policy of profiles to be in force")
    yield
    for path, document in zip(paths, documents, strict=True):
        api("DELETE", f"{path}/{document['metadata']['name']}")


def make(api: Api, pod: Json, **spec: Any) -> Answer:
    return api("POST", _JOBS, finetunejob("any", pod=pod, **spec))


def make_profile(api: Api, defaults: Json) -> Answer:
    profile = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneProfile", "metadata": {"name": "any"}}
    return api("POST", _PROFILES, {**profile, "spec": {"defaults": defaults}})


def wide(terms: int, length: int, of: str = "k") -> Json:
    """Settings of a pod with 32 labels of so many characters in each of its terms."""
    labels = {f"{number}{of * length}": "v" for number in range(32)}
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**constraint, "labelSelector": {"matchLabels": labels}}] * terms}


def sent(spec: Json) -> int:
    """Bytes of a spec as an API server sends it: Go escapes what HTML does, and what JavaScript takes for a line's end."""
    text = json.dumps(spec, separators=(",", ":"), ensure_ascii=False)
    return len(re.sub("[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text).encode())


def longest(taken: Any) -> int:
    """The largest number, below 20,000, of which `taken` is true."""
    low, high = 0, 20_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if taken(middle) else (low, middle)
    return low


@pytest.mark.parametrize("character", ["k", "<", '"', "\\", "\x01", "\x0b", "\u2028", "中", "\u200b", "\U0001f600"])
def test_no_job_is_taken_that_the_server_sends_with_more_than_64_kib(policies: None, api: Api, character: str) -> None:
    length = longest(lambda number: make(api, wide(1, number, character)).code == 201)

    largest, larger = (make(api, wide(1, length + more, character)) for more in (0, 1))

    assert sent(largest.body["spec"]) <= MAX_SPEC_BYTES
    assert sent(larger.body.get("spec", {})) == 2
    assert _WORDS.search(larger.message)


def test_numbers_with_fractions_count_as_they_are_sent(policies: None, api: Api) -> None:
    numbers = {f"a{number}": [-1.2345678901234567e-300] * 12 for number in range(50)}

    length = longest(lambda size: make(api, wide(1, size), training={"arguments": numbers}).code == 201)
    largest = make(api, wide(1, length), training={"arguments": numbers})

    assert largest.body["spec"]["training"]["arguments"] == numbers
    assert 0.9 * MAX_SPEC_BYTES < sent(largest.body["spec"]) <= MAX_SPEC_BYTES


@pytest.mark.parametrize("character", ["k", '"', "\\", "\x01", "\x0b", "\u2028", "中", "\u200b", "\U0001f600"])
def test_a_profile_is_taken_only_if_a_job_can_keep_all_of_it_but_what_it_allows(
    policies: None, api: Api, character: str
) -> None:
    length = longest(lambda number: make_profile(api, wide(1, number, character)).code == 201)

    largest, larger = (make_profile(api, wide(1, length + more, character)) for more in (0, 1))

    spec = {name: value for name, value in largest.body["spec"].items() if name not in ("allow", "namespaces")}
    kept = ProfileSettings.model_validate(spec).to_wire()
    assert len(json.dumps(kept, sort_keys=True, separators=(",", ":"))) <= MAX_PROFILE_SETTINGS
    assert f"and at most {MAX_KEPT_BYTES} fit, since each job keeps it" in larger.message
