"""What the admission policies say of the size of a spec. That none is longer than they let it is seen on a real API server."""

import json
from bisect import bisect_left
from typing import Any, Final

import pytest
from tests.unit.finetune_api.api_server import SERVER_RESOURCE, complete_spec
from tests.unit.finetune_api.wrong_specs import BASE

from devcluster.apiserver.kinds.admission_policies import Admission, default_policy, denial
from devcluster.apiserver.kinds.crds import resources_of
from devcluster.apiserver.schemas.structural import apply_defaults
from finetune_api.crd import profile_definition
from finetune_api.policy import admission_policies
from finetune_api.profile import ProfileSettings
from finetune_api.status import MAX_PROFILE_SETTINGS

_POLICIES: Final = admission_policies()
_PROFILES: Final = resources_of(profile_definition())[0]
for _policy in _POLICIES[::2]:
    default_policy(_policy["spec"])
_TERM: Final = {
    "maxSkew": 1,
    "topologyKey": "zone",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {f"{number}{'k' * 800}": "v" for number in range(32)}},
}


def said(index: int, admission: Admission) -> str:
    error = denial(*_POLICIES[index : index + 2], admission, {"metadata": {"name": "team"}}, [None])
    return error.message.partition("denied request: ")[2] if error else ""


def of_job(spec: dict[str, Any]) -> str:
    job = {"metadata": {"name": "job", "namespace": "team"}, "spec": complete_spec({**BASE, **spec})}
    return said(0, Admission(SERVER_RESOURCE, "", job, None, {}))


def of_profile(spec: dict[str, Any], old: dict[str, Any] | None = None) -> str:
    profile = {"metadata": {"name": "gpus"}, "spec": spec}
    before = None if old is None else {"metadata": {"name": "gpus"}, "spec": old}
    return said(4, Admission(_PROFILES, "", profile, before, {}))


@pytest.mark.parametrize(("terms", "fits"), [(1, True), (2, True), (3, False), (4, False)])
def test_a_job_of_more_than_64_kib_is_refused_at_apply_with_its_size(terms: int, fits: bool) -> None:
    words = of_job({"pod": {"topologySpreadConstraints": [_TERM] * terms}})

    assert (words == "") is fits
    assert fits or words.startswith("spec: takes ")
    assert fits or words.endswith(" bytes as JSON, and at most 65536 fit")


def test_a_profile_of_more_than_64_kib_is_refused_too_also_when_it_grows() -> None:
    large = {"defaults": {"topologySpreadConstraints": [_TERM] * 4}}

    assert of_profile({"allow": {"images": ["*"]}}) == ""
    assert [of_profile(large).partition(" ")[0], of_profile(large, {}).partition(" ")[0]] == ["spec:", "spec:"]


# What the API server escapes fills the 64 KiB of the whole first; the text that is kept has it as one character.
_ALL, _KEPT = "spec: takes ", "spec: all but allow and namespaces takes "


@pytest.mark.parametrize(("letter", "bound"), [("k", _KEPT), ("é", _KEPT), ("漢", _KEPT), ("😀", _KEPT), ("<", _ALL)])
def test_what_a_profile_gives_to_each_job_is_bounded_at_apply_so_that_the_operator_can_keep_it(
    letter: str, bound: str
) -> None:
    def settings(length: int) -> dict[str, Any]:
        return {"defaults": {"env": [{"name": f"A{number}", "value": letter * length} for number in range(4)]}}

    lengths = range(0, 4000, 50)
    first = bisect_left(lengths, True, key=lambda length: of_profile(stored(settings(length))) != "")
    longest_kept = len(kept_text(settings(lengths[first - 1])))

    assert of_profile(stored(settings(lengths[first]))).startswith(bound)
    assert MAX_PROFILE_SETTINGS / 4 <= longest_kept <= MAX_PROFILE_SETTINGS
    assert of_profile(stored({"allow": {"secrets": ["x" * 250] * 4, "images": ["y" * 250] * 4}})) == ""


def stored(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec of a profile with the defaults that the API server fills in."""
    profile = {"metadata": {"name": "gpus"}, "spec": spec}
    apply_defaults(profile, _PROFILES.schema)
    return profile["spec"]


def kept_text(spec: dict[str, Any]) -> str:
    """What a job keeps of a profile, without a bound."""
    settings = ProfileSettings.model_validate(spec)
    return json.dumps(settings.to_wire(), sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("character", ["<", "&", ">"])
def test_what_the_api_server_writes_as_six_characters_counts_as_six(character: str) -> None:
    value = [{"name": f"A{number}", "value": character * 4000} for number in range(3)]

    assert of_job({"pod": {"env": value}}).startswith("spec: takes 7")
    assert of_job({"pod": {"env": [{**each, "value": "x" * 4000} for each in value]}}) == ""


def of_deletion(job: dict[str, Any] | None, old: dict[str, Any] | None, **options: Any) -> str:
    return said(6, Admission(SERVER_RESOURCE, "", job, old, {}, options))


def test_no_finetunejob_is_deleted_without_its_run_which_would_use_gpus_that_nobody_counts() -> None:
    plain, kept, orphan = (
        {"metadata": {"name": "job", "namespace": "team", **more}, "spec": complete_spec(BASE)}
        for more in ({}, {"finalizers": ["a.example/b"]}, {"finalizers": ["a.example/b", "orphan"]})
    )
    refused = "a FineTuneJob is not deleted without its run: leave out --cascade=orphan and the finalizer orphan"

    assert of_deletion(None, plain, propagationPolicy="Orphan") == refused
    assert of_deletion(None, plain, orphanDependents=True) == refused
    assert [of_deletion(None, plain, propagationPolicy=each) for each in ("Background", "Foreground")] == ["", ""]
    assert [of_deletion(None, plain), of_deletion(None, plain, orphanDependents=False)] == ["", ""]
    assert [of_deletion(orphan, None), of_deletion(orphan, kept)] == [refused, refused]
    assert [of_deletion(kept, None), of_deletion(kept, orphan), of_deletion(orphan, orphan)] == ["", "", ""]
