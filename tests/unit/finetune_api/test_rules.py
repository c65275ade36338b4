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


@pytest.mark.parametrize(("section", "after"), CHANGES.items())
def test_what_shapes_a_run_is_immutable(section: str, after: Any) -> None:
    told = refusals({**BASE, section: after}, before=BASE)

    assert [refusal.partition(": ")[0] for refusal in told] == [f"spec.{section}"]
    assert told[0].endswith(ON_CHANGES[f"self.{section} == oldSelf.{section}"])


_PROFILE_STAYS = "has(self.profile) == has(oldSelf.profile) && (!has(self.profile) || self.profile == oldSelf.profile)"


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


def test_another_profile_is_refused() -> None:
    said = refusals({**BASE, "profile": "b"}, before={**BASE, "profile": "a"})

    assert said == [f"spec.profile: Invalid value: {ON_CHANGES[_PROFILE_STAYS]}"]


def test_each_rule_about_a_change_is_tried() -> None:
    assert set(ON_CHANGES) == {
        _PROFILE_STAYS,
        _CONTROLLER_STAYS,
        *(f"self.{section} == oldSelf.{section}" for section in CHANGES),
    }


@pytest.mark.parametrize("change", [{"suspend": True}, {"runPolicy": {"backoffLimit": 0}}], ids=str)
def test_suspend_and_run_policy_may_change(change: dict[str, Any]) -> None:
    assert refusals({**BASE, **change}, before=BASE) == []


@pytest.mark.parametrize("gpus", [{}, {"gpus": 1}], ids=str)
def test_a_run_on_a_laptop_keeps_to_the_rule_of_processes(gpus: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="processesPerNode is for training on the CPU"):
        RunConfig.model_validate({**BASE, "output": {"uri": "file:///out"}, "processesPerNode": 2, **gpus})
