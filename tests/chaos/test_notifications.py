"""The operator is killed after each of its writes, and whoever is to be told of an end is told all the same."""

from collections import Counter

import pytest
from tests.chaos.fixtures import Scene, chaos_job
from tests.chaos.test_crashes import Killer
from tests.integration.test_notifications import Receiver, give_secret, hook, receiver  # noqa: F401 - a fixture

WRITES = 12
"""More than any of these jobs takes, its notifications among them."""


@pytest.mark.parametrize(
    "every", [pytest.param(1, marks=pytest.mark.chaos), pytest.param(5, marks=pytest.mark.slow)], ids=["each", "some"]
)
def test_an_end_is_told_at_least_once_after_whatever_write_the_operator_is_killed(
    stage: Scene,
    receiver: Receiver,  # noqa: F811
    every: int,
) -> None:
    due = {f"crash-{number:02}": number for number in range(2, WRITES + 1, every)}
    give_secret(stage.space, receiver)
    killer = Killer(stage, due)
    stage.proxy.plan = killer.plan
    stage.space.apply(*(chaos_job(name, notify=[hook("ci", f"{receiver.url}/ok")]) for name in due))

    def all_told() -> bool:
        statuses = [stage.space.status(name).get("notifications", []) for name in due]
        return all(each["state"] == "Delivered" for status in statuses for each in status) and all(statuses)

    killer.run_until(all_told)

    ids = {each["subject"]: each["id"] for each in receiver.taken}
    assert ids.keys() == due.keys()
    assert {(each["subject"], each["id"]) for each in receiver.taken} == set(ids.items())
    assert stage.history.violations() == []
    # One whose delivery was written by an operator that died of it is told again, and hardly any other.
    assert max(Counter(each["subject"] for each in receiver.taken).values()) <= 3
    assert set(killer.due) != set(due), "no write was followed by a kill"
