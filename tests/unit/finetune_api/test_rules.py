"""Each rule refuses on the API server what it refuses here, with the same message."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.finetune_api.api_server import RULES, refusals
from tests.unit.finetune_api.wrong_specs import BASE, WRONG, WrongSpec

from finetune_api.run import RunConfig
from finetune_api.v1alpha1 import FineTuneJobSpec

ON_CHANGES = {rule: message for rule, message in RULES.items() if "oldSelf" in rule}
ON_VALUES = {rule: message for rule, message in RULES.items() if "oldSelf" not in rule}


def messages(spec: dict[str, Any]) -> list[str]:
    """What pydantic says."""
    try:
        FineTuneJobSpec.model_validate(spec)
    except ValidationError as error:
        return [problem["msg"] for problem in error.errors()]
    return []


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.message[:40])
def test_a_wrong_spec_is_refused_on_both_sides_with_the_same_message(wrong: WrongSpec) -> None:
    message = next(text for text in ON_VALUES.values() if text.startswith(wrong.message))

    assert [refusal for refusal in refusals(wrong.spec) if not refusal.endswith(message)] == []
    assert refusals(wrong.spec) != []
    assert [text.endswith(message) for text in messages(wrong.spec)] == [True]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.message[:40])
def test_its_neighbour_is_accepted_on_both_sides(wrong: WrongSpec) -> None:
    assert (refusals(wrong.right), messages(wrong.right)) == ([], [])


def test_each_rule_has_a_wrong_spec() -> None:
    untried = [
        message for message in ON_VALUES.values() if not any(message.startswith(wrong.message) for wrong in WRONG)
    ]

    assert untried == []


_OR_NEW_RUN = " || (has(self.runToken) && (!has(oldSelf.runToken) || self.runToken != oldSelf.runToken))"
_REPOSITORY = next(rule for rule in ON_CHANGES if "startsWith('hf://')" in rule)
CHANGES: dict[str, Any] = {
    "task": "causal-lm",
    "model": {"source": "a"},
    "dataset": {"source": "a", "train": {"split": "train"}},
    "preprocessing": {"maxLength": 2},
    "training": {"seed": 1},
    "evaluation": {"bestMetric": "loss"},
    "checkpoints": {"keep": 1},
    "output": {"size": 1},
    "resources": {"nodes": 2},
    "pod": {"image": "a"},
}


def _rule_of(section: str) -> str:
    """The rule by which a section stays as it is."""
    return next(rule for rule in ON_CHANGES if rule.startswith(f"self.{section} == oldSelf.{section}{_OR_NEW_RUN}"))


@pytest.mark.parametrize(("section", "after"), CHANGES.items())
def test_what_shapes_a_run_is_immutable(section: str, after: Any) -> None:
    told = refusals({**BASE, section: after}, before=BASE)

    assert [refusal.partition(": ")[0] for refusal in told] == [f"spec.{section}"]
    assert told[0].endswith(ON_CHANGES[_rule_of(section)])


_FREED = [*CHANGES.items(), ("profile", "a"), ("tracking", {"tensorboard": {}})]


@pytest.mark.parametrize("before", [{}, {"runToken": "1"}], ids=["the first token", "another token"])
@pytest.mark.parametrize(("section", "after"), _FREED)
def test_what_shapes_a_run_may_change_with_a_new_run(section: str, after: Any, before: dict[str, Any]) -> None:
    assert refusals({**BASE, section: after, "runToken": "2"}, before={**BASE, **before}) == []


@pytest.mark.parametrize(("section", "after"), _FREED)
def test_a_token_that_stays_frees_nothing(section: str, after: Any) -> None:
    before = {**BASE, "runToken": "2"}

    told = refusals({**before, section: after}, before=before)

    assert [refusal.partition(": ")[0] for refusal in told] == [f"spec.{section}"]


_TOKEN_STAYS = "!has(oldSelf.runToken) || has(self.runToken)"


def test_a_token_is_not_taken_away_again() -> None:
    said = refusals(BASE, before={**BASE, "runToken": "2"})

    assert said == [f"spec.runToken: Invalid value: {ON_CHANGES[_TOKEN_STAYS]}"]


_HUB = {"output": {"uri": "hf://org/one"}}


def test_a_repository_holds_one_run() -> None:
    before, again = {**BASE, **_HUB, "runToken": "1"}, {**BASE, **_HUB, "runToken": "2"}

    said = refusals(again, before=before)

    assert said == [f"spec.output.uri: Invalid value: {ON_CHANGES[_REPOSITORY]}"]
    assert refusals({**again, "output": {"uri": "hf://org/two"}}, before=before) == []
    assert refusals({**before, "suspend": True}, before=before) == []


def _with_token(token: str) -> dict[str, Any]:
    return {**BASE, "runToken": token}


def _run(number: int, token: str) -> dict[str, Any]:
    return {"run": {"number": number, "token": token}}


def test_a_change_of_the_token_is_not_taken_back_before_the_operator_has_seen_it() -> None:
    said = refusals(_with_token("1"), before=_with_token("2"), status=_run(1, "1"))

    assert [refusal.partition(": ")[0] for refusal in said] == ["spec.runToken"]
    assert "is that of the present run (status.run.token)" in said[0]


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (_with_token("1"), _with_token("2"), _run(1, "1")),
        (_with_token("2"), _with_token("3"), _run(1, "1")),
        (_with_token("2"), _with_token("1"), _run(2, "2")),
        (_with_token("1"), {**_with_token("1"), "suspend": True}, _run(1, "1")),
        (_with_token("1"), _with_token("2"), {}),
        (BASE, _with_token("1"), {"run": {"number": 1}}),
    ],
    ids=["another run", "yet another", "the token of a run before that", "the same", "no run yet", "the first token"],
)
def test_any_other_token_is_taken(before: dict[str, Any], after: dict[str, Any], status: dict[str, Any]) -> None:
    assert refusals(after, before=before, status=status) == []


_PROFILE_STAYS = (
    "has(self.profile) == has(oldSelf.profile) && (!has(self.profile) || self.profile == oldSelf.profile)" + _OR_NEW_RUN
)


_CONTROLLER_STAYS = (
    "has(self.managedBy) == has(oldSelf.managedBy) && (!has(self.managedBy) || self.managedBy == oldSelf.managedBy)"
)
_OTHERS = {**BASE, "managedBy": "a/b"}


@pytest.mark.parametrize(
    ("before", "after"),
    [(BASE, _OTHERS), (_OTHERS, BASE), (_OTHERS, {**BASE, "managedBy": "a/c"})],
    ids=["given away", "taken over", "handed on"],
)
def test_the_controller_that_runs_a_job_stays(before: dict[str, Any], after: dict[str, Any]) -> None:
    said = refusals(after, before=before)

    assert said[0].endswith(ON_CHANGES[_CONTROLLER_STAYS])
    assert refusals(before, before=before) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [(BASE, {**BASE, "profile": "a"}), ({**BASE, "profile": "a"}, BASE)],
    ids=["named later", "named no more"],
)
def test_a_profile_is_neither_named_later_nor_taken_away(before: dict[str, Any], after: dict[str, Any]) -> None:
    said = refusals(after, before=before)

    assert said[0].endswith(ON_CHANGES[_PROFILE_STAYS])
    assert refusals(before, before=before) == []


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        ({"gpus": 1}, {}, True),
        ({}, {"gpus": 1, "nodes": 1}, True),
        ({"gpus": 2}, {}, False),
        ({}, {"gpus": 0}, False),
        ({"gpus": 1, "cpu": "1"}, {"cpu": "2"}, False),
        ({"gpus": 1, "nodes": 2}, {}, False),
        ({"gpus": 0, "processesPerNode": 2}, {"gpus": 0}, False),
    ],
    ids=str,
)
def test_one_gpu_may_be_said_or_left_out_and_all_else_of_resources_stays(
    before: dict[str, Any], after: dict[str, Any], taken: bool
) -> None:
    said = refusals({**BASE, "resources": after}, before={**BASE, "resources": before})

    assert (said == []) is taken


_TRACKING_STAYS = next(rule for rule in ON_CHANGES if rule.startswith("has(self.tracking)"))
_TENSORBOARD = {"tracking": {"tensorboard": {}}}
_MLFLOW = {"tracking": {"mlflow": {"uri": "https://m"}}}


@pytest.mark.parametrize(
    ("before", "after"),
    [({}, _TENSORBOARD), (_TENSORBOARD, {}), (_MLFLOW, _TENSORBOARD)],
    ids=["added", "removed", "changed"],
)
def test_trackers_stay_as_they_are(before: dict[str, Any], after: dict[str, Any]) -> None:
    said = refusals({**BASE, **after}, before={**BASE, **before})

    assert said == [f"spec.tracking: Invalid value: {ON_CHANGES[_TRACKING_STAYS]}"]
    assert refusals({**BASE, **before, "suspend": True}, before={**BASE, **before}) == []


def test_another_profile_is_refused() -> None:
    said = refusals({**BASE, "profile": "b"}, before={**BASE, "profile": "a"})

    assert said == [f"spec.profile: Invalid value: {ON_CHANGES[_PROFILE_STAYS]}"]


def test_each_rule_about_a_change_is_tried() -> None:
    shapes = {_rule_of(section) for section in CHANGES}

    assert set(ON_CHANGES) == shapes | {_PROFILE_STAYS, _TRACKING_STAYS, _CONTROLLER_STAYS, _TOKEN_STAYS, _REPOSITORY}


@pytest.mark.parametrize(
    "change",
    [{"suspend": True}, {"runPolicy": {"backoffLimit": 0}}, {"notify": [{"name": "chat", "slack": {}}]}],
    ids=str,
)
def test_suspend_and_run_policy_may_change(change: dict[str, Any]) -> None:
    assert refusals({**BASE, **change}, before=BASE) == []


@pytest.mark.parametrize("gpus", [{}, {"gpus": 1}], ids=str)
def test_a_run_on_a_laptop_keeps_to_the_rule_of_processes(gpus: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="processesPerNode is for training on the CPU"):
        RunConfig.model_validate({**BASE, "output": {"uri": "file:///out"}, "processesPerNode": 2, **gpus})
