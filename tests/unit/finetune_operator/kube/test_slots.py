"""Turns for many keys: evenly spaced, one a key, and none sooner for who asks more often."""

from finetune_operator.kube.slots import Slots


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_turns_are_evenly_spaced_and_kept_until_they_are_done() -> None:
    clock = Clock()
    slots = Slots(per_second=10, clock=clock)

    waits = [round(slots.wait(key), 6) for key in ("a", "b", "c", "a", "b")]
    clock.now += 0.2
    later = [slots.wait("b"), round(slots.wait("c"), 6)]
    slots.done("b")

    assert waits == [0.0, 0.1, 0.2, 0.0, 0.1]
    assert later == [0.0, 0.0]
    assert round(slots.wait("b"), 6) == 0.1


def test_a_turn_may_not_come_before_its_time_and_what_was_missed_is_not_made_up_for() -> None:
    clock = Clock()
    slots = Slots(per_second=10, clock=clock)
    assert slots.wait("a", least=2) == 2
    clock.now += 3600

    assert (slots.is_early("a"), slots.wait("a")) == (False, 0.0)
    assert [round(slots.wait(key), 6) for key in ("b", "c")] == [0.0, 0.1]
    assert [slots.is_early(key) for key in ("b", "c", "unknown")] == [False, True, False]


def test_of_too_many_keys_those_that_have_not_asked_for_longest_are_forgotten() -> None:
    slots = Slots(per_second=10, keys=100, clock=Clock())

    for number in range(1000):
        slots.wait(str(number))

    assert [slots.is_early(key) for key in ("1", "999")] == [False, True]
