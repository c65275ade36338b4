"""What a cluster would refuse is found without one: the CRD's rules, unknown fields, and a profile's rules."""

from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML
from tests.unit.finetune_api.profile_cases import CASES, NAMESPACES, Case
from tests.unit.finetune_api.profile_cases import JOB as PROFILED_JOB
from tests.unit.finetune_api.wrong_specs import BASE, WRONG, WrongSpec

from finetune.errors import Refused
from finetune.validation import NamedProfile, Namespace, Problem, find_problems, read_profile
from finetune_api.profile import FineTuneProfileSpec
from finetune_api.training import Task

ANYWHERE = Namespace("default", None)
EXAMPLES = sorted(Path("examples").glob("*.yaml"))


def manifest(spec: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "job", **metadata},
        "spec": spec,
    }


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.message[:40])
def test_each_rule_of_the_crd_is_checked_and_its_neighbour_passes(wrong: WrongSpec) -> None:
    problems = find_problems(manifest(wrong.spec), "a.yaml", None, ANYWHERE)

    assert any(wrong.message in problem.message for problem in problems)
    assert find_problems(manifest(wrong.right), "a.yaml", None, ANYWHERE) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.message}")
def test_each_rule_of_a_profile_is_checked_in_the_operators_words(case: Case) -> None:
    profile = NamedProfile("team", FineTuneProfileSpec.model_validate(case.profile))
    namespace = Namespace(case.namespace, NAMESPACES[case.namespace])

    problems = find_problems(manifest({**BASE, **case.spec}, name=PROFILED_JOB), "a.yaml", profile, namespace)

    told = [problem.message for problem in problems]
    if case.message is None:
        assert told == []
    else:
        assert any(message.startswith(f"profile team: {case.message}") for message in told)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_is_valid(file: Path) -> None:
    found = YAML(typ="safe", pure=True).load(file)
    if found["kind"] == "FineTuneJob":
        assert find_problems(found, str(file), None, ANYWHERE) == []


def test_every_wrong_field_is_named_with_what_it_takes() -> None:
    spec = {**BASE, "task": "translate", "training": {"epochs": 0, "batchsize": 8, "learning_rate": 0.1}, "gpus": 1}
    del spec["model"]

    problems = find_problems(manifest(spec, name="Bad_Name"), "a.yaml", None, ANYWHERE)

    name = "must be of lower-case letters, digits, - and ., begin and end with a letter or digit, and have at most 253 characters"
    *tasks, last = map(repr, get_args(Task))
    assert [(problem.field, problem.message) for problem in problems] == [
        ("metadata.name", name),
        ("spec.task", f"must be {', '.join(tasks)} or {last}, not 'translate'"),
        ("spec.model", "is required"),
        ("spec.training.epochs", "should be greater than 0, not 0"),
        ("spec.training.batchsize", "unknown field; did you mean batchSize?"),
        ("spec.training.learning_rate", "unknown field; did you mean learningRate?"),
        ("spec.gpus", "unknown field"),
    ]


def test_a_value_of_another_type_is_told_once_with_the_type_that_the_field_takes() -> None:
    spec = {**BASE, "training": {"epochs": "3", "batchSize": True}, "preprocessing": {"truncation": 1}}

    problems = find_problems(manifest(spec), "a.yaml", None, ANYWHERE)

    assert [(problem.field, problem.message) for problem in problems] == [
        ("spec.preprocessing.truncation", "should be true or false, not 1"),
        ("spec.training.epochs", "should be a number, not the text '3'"),
        ("spec.training.batchSize", "should be a whole number, not true"),
    ]


def test_every_rule_that_does_not_hold_between_the_fields_of_a_section_is_told() -> None:
    evaluation = {"strategy": "steps", "patience": 3}

    problems = find_problems(manifest({**BASE, "evaluation": evaluation}), "a.yaml", None, ANYWHERE)

    assert [(problem.field, problem.message) for problem in problems] == [
        ("spec.evaluation", "steps is required with strategy 'steps', and only then"),
        ("spec.evaluation", "patience needs bestMetric"),
    ]


def test_a_manifest_without_any_of_its_parts_is_a_problem_and_no_crash() -> None:
    found = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": "none"}

    problems = find_problems(found, "a.yaml", None, ANYWHERE)

    assert Problem("a.yaml", "", "metadata.name", "is required") in problems
    assert Problem("a.yaml", "", "spec", "is required") in problems


def test_all_that_breaks_a_profile_is_told_and_not_only_the_first() -> None:
    profile = NamedProfile("small", FineTuneProfileSpec.model_validate({"limits": {"gpus": 1, "nodes": 1}}))
    spec = {**BASE, "resources": {"gpus": 4, "nodes": 2}, "profile": "large"}

    problems = find_problems(manifest(spec), "a.yaml", profile, ANYWHERE)

    assert [problem.message for problem in problems] == [
        "spec.profile is large, and the profile to check against is small",
        "profile small: spec.resources.gpus 4 is too much; limits.gpus is 1",
        "profile small: spec.resources.nodes 2 is too much; limits.nodes is 1",
    ]


def test_rules_about_labels_of_a_namespace_are_checked_once_these_are_known() -> None:
    profile = NamedProfile("a", FineTuneProfileSpec.model_validate({"namespaces": {"matchLabels": {"team": "a"}}}))

    told = [
        [problem.message for problem in find_problems(manifest(BASE), "a.yaml", profile, Namespace("ns", labels))]
        for labels in (None, {"team": "a"}, {"team": "b"})
    ]

    assert told == [[], [], ["profile a: namespace ns may not have this profile; namespaces has team=a"]]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "p.yaml holds no FineTuneProfile, and one was expected"),
        (
            [{"kind": "FineTuneProfile"}, {"kind": "FineTuneProfile"}],
            "p.yaml holds 2 FineTuneProfiles, and one was expected",
        ),
        (
            [{"kind": "FineTuneProfile", "spec": {"limit": {}, "allow": {"images": "x"}}}],
            "p.yaml: spec.allow.images: should be a valid list, not 'x'\np.yaml: spec.limit: unknown field; did you mean limits?",
        ),
    ],
)
def test_a_file_that_is_no_profile_is_refused(documents: list[Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        read_profile(documents, "p.yaml")

    assert sorted(str(refused.value).splitlines()) == sorted(message.splitlines())
