"""The watches that an operator has, as its metrics tell of them."""

from tests.unit.finetune_operator.controller.test_crowds import watches


async def test_the_age_of_every_watch_is_told_without_which_nothing_goes_on() -> None:
    assert set(watches().silences()) == {"finetunejobs", "jobs", "pods", "finetuneprofiles"}
