"""Who brings many waits for itself."""

from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.kube.lanes import URGENT_IN_A_ROW, Lanes


def emptied(lanes: Lanes[str]) -> list[str]:
    served = []
    while item := lanes.pop():
        served.append(item[1])
    return served


def test_lanes_are_served_in_turn() -> None:
    lanes: Lanes[str] = Lanes()
    for number in range(4):
        lanes.put("a", f"a{number}")
    lanes.put("b", "b0")
    lanes.put("c", "c0")

    assert emptied(lanes) == ["a0", "b0", "c0", "a1", "a2", "a3"]


def test_a_lane_that_comes_back_waits_for_its_turn() -> None:
    lanes: Lanes[str] = Lanes()
    lanes.put("a", "a0")
    lanes.put("b", "b0")
    lanes.pop()
    lanes.put("a", "a1")

    assert emptied(lanes) == ["b0", "a1"]


def crowded(ahead: int) -> Lanes[str]:
    """Three lanes of which each has had ten items, and in which as many wait."""
    lanes: Lanes[str] = Lanes(ahead=ahead)
    for number in range(20):
        for lane in ("a", "b", "c"):
            lanes.put(lane, f"{lane}{number}")
    for _ in range(30):
        lanes.pop()
    return lanes


def test_so_many_of_a_lane_in_which_little_came_go_before_those_in_which_much_waits() -> None:
    lanes = crowded(ahead=2)
    for number in range(4):
        lanes.put("quiet", f"quiet{number}")

    assert emptied(lanes)[:8] == ["quiet0", "quiet1", "a10", "b10", "c10", "quiet2", "a11", "b11"]


def test_a_lane_that_comes_back_again_and_again_gets_no_more_than_its_share() -> None:
    lanes, served = crowded(ahead=2), []
    for number in range(8):
        lanes.put("quiet", f"quiet{number}")
        while (item := lanes.pop()) and not item[1].startswith("quiet"):
            served.append(item[1])

    assert len(served) == (8 - 2) * 3


def test_what_a_lane_missed_while_it_was_closed_it_does_not_get_afterwards() -> None:
    lanes = crowded(ahead=2)
    for _ in range(8):
        lanes.pop(lambda lane: lane != "a")

    assert [item[0] for item in (lanes.pop() for _ in range(6)) if item].count("a") <= 4


def test_what_is_urgent_goes_first_in_its_own_lane_only() -> None:
    lanes: Lanes[str] = Lanes()
    lanes.put("a", "a0")
    lanes.put("b", "b0")
    lanes.put("b", "b1", urgent=True)

    assert emptied(lanes) == ["a0", "b1", "b0"]


def test_what_is_not_urgent_does_not_wait_for_ever() -> None:
    lanes: Lanes[str] = Lanes()
    lanes.put("a", "new")
    for number in range(3 * URGENT_IN_A_ROW):
        lanes.put("a", f"running {number}", urgent=True)

    assert len([*takewhile(lambda item: item != "new", emptied(lanes))]) == URGENT_IN_A_ROW


def test_an_item_is_in_it_once_and_moves_up_when_it_becomes_urgent() -> None:
    lanes: Lanes[str] = Lanes()
    for item in ("a0", "a1", "a0"):
        lanes.put("a", item)
    lanes.put("a", "a1", urgent=True)
    lanes.put("a", "a1")

    assert emptied(lanes) == ["a1", "a0"]


def test_a_lane_that_is_closed_is_passed_over_and_keeps_its_turn() -> None:
    lanes: Lanes[str] = Lanes()
    lanes.put("a", "a0")
    lanes.put("b", "b0")
    lanes.put("b", "b1")

    assert lanes.pop(lambda lane: lane != "a") == ("b", "b0")
    assert lanes.pop(lambda _: False) is None
    assert emptied(lanes) == ["a0", "b1"]


def test_what_was_taken_out_does_not_come() -> None:
    lanes: Lanes[str] = Lanes()
    lanes.put("a", "a0")
    lanes.put("a", "a1", urgent=True)
    for item in ("a0", "a1", "never"):
        lanes.discard("a", item)

    assert not lanes
    assert emptied(lanes) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.booleans()), max_size=40))
def test_everything_comes_once_and_no_lane_twice_before_another_that_waits(puts: list[tuple[str, int, bool]]) -> None:
    lanes: Lanes[tuple[str, int]] = Lanes()
    waiting: dict[str, set[int]] = {}
    for lane, number, urgent in puts:
        lanes.put(lane, (lane, number), urgent=urgent)
        waiting.setdefault(lane, set()).add(number)

    since_then: dict[str, int] = {}
    while served := lanes.pop():
        lane, (_, number) = served
        waiting[lane].remove(number)
        for other, numbers in waiting.items():
            if other != lane and numbers:
                since_then[other] = since_then.get(other, 0) + 1
                assert since_then[other] < 3, f"{other} waited for more than one of each other"
        since_then[lane] = 0
    assert not any(waiting.values())
