"""What a profile allows: the operator's check and the admission policy say the same of each job."""

import re
from typing import Any, Final

import pytest
from cel_expr_python import cel
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.finetune_api.api_server import SERVER_RESOURCE, complete_spec
from tests.unit.finetune_api.profile_cases import BASE, CASES, JOB, NAMESPACES, Case

from devcluster.apiserver.cel.library import environment
from devcluster.apiserver.kinds.admission_policies import Admission, default_policy, denial
from devcluster.apiserver.kinds.crds import resources_of
from devcluster.apiserver.schemas.structural import apply_defaults
from finetune_api.crd import profile_definition
from finetune_api.pod import PodSettings
from finetune_api.policy import admission_policies
from finetune_api.profile import FineTuneProfileSpec, Limits
from finetune_api.profile_rules import Request, matches
from finetune_api.profile_table import PROFILE_RULES, violation
from finetune_api.v1alpha1 import FineTuneJobSpec

PROFILE: Final = "gpus"
_POLICY, _BINDING = admission_policies()[2:4]
default_policy(_POLICY["spec"])
_SCHEMA: Final = resources_of(profile_definition())[0].schema


def by_the_operator(case: Case) -> str | None:
    """What the operator says of a case."""
    spec = FineTuneJobSpec.model_validate({**BASE, **case.spec, "profile": PROFILE})
    request = Request(spec, JOB, case.namespace, NAMESPACES[case.namespace])
    return violation(request, FineTuneProfileSpec.model_validate(case.profile))


def profile_object(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A profile as the API server stores it."""
    profile = {"metadata": {"name": name}, "spec": spec}
    apply_defaults(profile, _SCHEMA)
    return profile


def job_object(namespace: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A job as the API server stores it."""
    return {"metadata": {"name": JOB, "namespace": namespace}, "spec": complete_spec({**BASE, **spec}), **more}


def by_the_policy(
    job: dict[str, Any],
    *profiles: dict[str, Any],
    before: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
) -> str | None:
    """What the admission policy says of a job, without what the API server puts before it."""
    admission = Admission(SERVER_RESOURCE, "", job, before, {})
    namespace = job["metadata"]["namespace"]
    metadata = {"name": namespace, "labels": NAMESPACES[namespace] if labels is None else labels}
    error = denial(_POLICY, _BINDING, admission, {"metadata": metadata}, profiles)
    return error.message.partition("denied request: ")[2] if error else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.message}"[:60])
def test_both_sides_say_the_same_of_a_job(case: Case) -> None:
    job = job_object(case.namespace, {**case.spec, "profile": PROFILE})

    said = by_the_operator(case)

    assert by_the_policy(job, profile_object(PROFILE, case.profile)) == said
    assert (said is None) if case.message is None else str(said).startswith(f"profile {PROFILE}: {case.message}")


def test_each_rule_refuses_a_case() -> None:
    refused = [by_the_operator(case) for case in CASES if case.message]
    fields = [rule.wording.partition(" + ")[0].strip("'") for rule in PROFILE_RULES]

    untried = [field for field in fields if not any(f": {field}" in str(message) for message in refused)]

    assert untried == []


FREE: Final = {"topologySpreadConstraints", "volumeMounts"}
"""Fields of spec.pod of which a profile has nothing to say: the spread of a job's own pods, and paths of volumes that are ruled themselves."""


def test_each_field_of_the_pod_is_held_by_a_rule_or_is_free() -> None:
    ruled = {name for rule in PROFILE_RULES for name in re.findall(r"spec\.pod\.(\w+)", rule.wording)}

    assert {field.alias for field in PodSettings.model_fields.values()} == ruled | FREE


STRICT: Final = {"limits": {"gpus": 0, "backoffLimit": 1}}


@pytest.mark.parametrize(
    ("spec", "labels", "own"),
    [
        ({}, {}, "default"),
        ({}, {"finetune.dev/profile": ""}, "default"),
        ({}, {"finetune.dev/profile": "labelled"}, "labelled"),
        ({"profile": "named"}, {"finetune.dev/profile": "labelled"}, "named"),
    ],
)
def test_a_job_has_the_profile_that_it_names_or_its_namespace_or_else_default(
    spec: dict[str, Any], labels: dict[str, str], own: str
) -> None:
    job, names = job_object("profiles-a", {**spec, "resources": {"gpus": 1}}), ["default", "labelled", "named"]
    strict = [profile_object(name, STRICT if name == own else {}) for name in names]
    others = [profile_object(name, {} if name == own else STRICT) for name in names]

    said = by_the_policy(job, *strict, labels=labels)

    assert said == f"profile {own}: spec.resources.gpus 1 is too much; limits.gpus is 0"
    assert by_the_policy(job, *others, labels=labels) is None
    request = Request(FineTuneJobSpec.model_validate({**BASE, **spec}), JOB, "profiles-a", labels)
    assert request.profile == own


def test_a_stricter_profile_keeps_nobody_from_suspending_a_job() -> None:
    before = job_object("profiles-a", {"runPolicy": {"backoffLimit": 3}})
    after = job_object("profiles-a", {"runPolicy": {"backoffLimit": 3}, "suspend": True})

    assert by_the_policy(after, profile_object("default", STRICT), before=before) is None


@pytest.mark.parametrize(("limit", "taken"), [(0, True), (1, True), (2, False)])
def test_what_may_change_is_checked_where_it_changes(limit: int, taken: bool) -> None:
    before = job_object("profiles-a", {"runPolicy": {"backoffLimit": 3}})
    after = job_object("profiles-a", {"runPolicy": {"backoffLimit": limit}})

    said = by_the_policy(after, profile_object("default", STRICT), before=before)

    assert said == (
        None if taken else "profile default: spec.runPolicy.backoffLimit 2 is too much; limits.backoffLimit is 1"
    )


def test_who_is_told_is_checked_where_it_changes_also_of_a_job_that_runs() -> None:
    targets = [{"name": "ci", "webhook": {"url": f"https://{host}/"}} for host in ("a.example", "b.example")]
    before, same, other = (job_object("profiles-a", {"notify": [targets[which]]}) for which in (0, 0, 1))
    profile = profile_object("default", {"notify": {"hosts": ["c.example"]}})

    said = by_the_policy(other, profile, before=before)

    assert by_the_policy(same, profile, before=before) is None
    assert said == ("profile default: spec.notify[].webhook.url b.example is not allowed; notify.hosts has c.example")


def test_a_job_that_has_begun_keeps_its_profile_whatever_its_namespace_is_labelled_with_later() -> None:
    begun = {"status": {"profile": {"name": "default"}}}
    before, after = (job_object("profiles-a", {"runPolicy": {"backoffLimit": number}}, **begun) for number in (0, 9))
    profiles = [profile_object("default", STRICT), profile_object("lax", {})]

    said = by_the_policy(after, *profiles, before=before, labels={"finetune.dev/profile": "lax"})

    assert said == "profile default: spec.runPolicy.backoffLimit 9 is too much; limits.backoffLimit is 1"


@pytest.mark.parametrize("name", list(Limits.model_fields))
def test_no_limit_refuses_a_job_for_what_it_does_not_say(name: str) -> None:
    least = {"cpu": "1m", "memory": "1", "output_size": "1", "nodes": 1, "active_deadline_seconds": 1}
    limits = Limits.model_validate({name: least.get(name, 0)})
    job = job_object("profiles-a", {})

    said = by_the_policy(job, profile_object("default", {"limits": limits.to_wire()}))

    assert said is None
    request = Request(FineTuneJobSpec.model_validate(BASE), JOB, "profiles-a", {})
    assert violation(request, FineTuneProfileSpec(limits=limits)) is None


def test_a_status_that_comes_with_a_new_job_names_no_profile() -> None:
    job = job_object("profiles-a", {"resources": {"gpus": 1}}, status={"profile": {"name": "lax"}})

    assert by_the_policy(job, profile_object("default", STRICT), profile_object("lax", {})) is not None


def test_a_profile_that_is_not_the_job_s_own_costs_neither_rules_nor_messages() -> None:
    said = environment(dict.fromkeys(("params", "request", "variables", "object", "oldObject"), cel.Type.DYN))
    # All that may be looked at: whatever else an expression reads is missing, and an error.
    data = {"request": {"operation": "CREATE"}, "variables": {"own": False}, "params": {}, "object": {}}

    results = [
        (
            said.compile(rule["expression"]).eval(data=data).value(),
            said.compile(rule["messageExpression"]).eval(data=data).value(),
        )
        for rule in _POLICY["spec"]["validations"]
    ]

    assert results == [(True, "")] * len(PROFILE_RULES)


def test_profiles_that_a_job_does_not_name_are_not_even_evaluated() -> None:
    condition = _POLICY["spec"]["matchConditions"][0]["expression"]
    program = environment(dict.fromkeys(("params", "request", "object"), cel.Type.DYN)).compile(condition)

    def looks_at(profile: str, spec: dict[str, Any], operation: str = "CREATE") -> object:
        data = {
            "params": {"metadata": {"name": profile}},
            "object": {"spec": spec},
            "request": {"operation": operation},
        }
        return program.eval(data=data).value()

    assert [looks_at("a", {"profile": "a"}), looks_at("a", {}), looks_at("a", {"profile": "b"}, "UPDATE")] == [True] * 3
    assert looks_at("a", {"profile": "b"}) is False


def test_a_long_list_is_cut_on_both_sides() -> None:
    case = Case(
        "images", {"pod": {"image": "x"}}, "", {"allow": {"images": [f"{number}-" * 50 for number in range(9)]}}
    )
    job = job_object(case.namespace, {**case.spec, "profile": PROFILE})

    said = by_the_operator(case)

    assert str(said).endswith("...")
    assert by_the_policy(job, profile_object(PROFILE, case.profile)) == said


_TEXTS = st.text("ab*.|(", min_size=1, max_size=6)


@given(glob=_TEXTS.filter(lambda text: text.count("*") < 5), text=_TEXTS)
def test_a_glob_means_the_same_on_both_sides(glob: str, text: str) -> None:
    job = job_object("profiles-a", {"pod": {"image": text}})
    profile = profile_object("default", {"allow": {"images": [glob]}})

    assert (by_the_policy(job, profile) is None) == matches(glob, text)
