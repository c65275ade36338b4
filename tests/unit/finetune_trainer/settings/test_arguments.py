"""training.arguments against transformers' own list of fields."""

import dataclasses

import pytest
from transformers import TrainingArguments

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.settings.arguments import OWNED, check_arguments
from finetune_trainer.settings.training_arguments import name_here


def test_every_field_that_is_ours_exists_in_transformers() -> None:
    assert set(OWNED) <= {argument.name for argument in dataclasses.fields(TrainingArguments)}


@pytest.mark.parametrize("name", sorted(OWNED))
def test_a_field_that_is_ours_is_refused_with_what_sets_it(name: str) -> None:
    with pytest.raises(TrainerError) as caught:
        check_arguments({name: None})

    assert (caught.value.reason, caught.value.hint) == ("ArgumentOwned", f"it follows from {OWNED[name]}")


def test_a_field_has_one_name_however_the_user_calls_it() -> None:
    assert check_arguments({"gradient_checkpointing": "yes"}) == {"activation_checkpointing": True}


def test_a_field_is_set_by_the_name_that_an_older_transformers_has_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    former = dataclasses.make_dataclass("Former", [("gradient_checkpointing", bool, dataclasses.field(default=False))])
    for module in ("arguments", "training_arguments"):
        monkeypatch.setattr(f"finetune_trainer.settings.{module}.TrainingArguments", former)

    checked = check_arguments({"activation_checkpointing": "yes"})

    assert checked == {"activation_checkpointing": True}
    assert name_here("activation_checkpointing") == "gradient_checkpointing"
    assert name_here("warmup_steps") == "warmup_steps"
