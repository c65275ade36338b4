import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.kube.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_through_and_the_next_must_wait_its_turn() -> None:
    clock = Clock()
    limit = RateLimit(per_second=2, burst=3, clock=clock)

    waits = [limit.wait("a") for _ in range(4)]

    assert waits == [0, 0, 0, 0.5]


def test_a_refused_one_does_not_push_the_next_turn_back() -> None:
    clock = Clock()
    limit = RateLimit(per_second=1, burst=1, clock=clock)
    limit.wait("a")
    limit.wait("a")

    clock.now += 1

    assert limit.wait("a") == 0


def test_each_key_has_its_own_bound() -> None:
    limit = RateLimit(per_second=1, burst=1, clock=Clock())
    limit.wait("a")

    assert limit.wait("b") == 0


def test_memory_is_bounded_by_the_number_of_keys() -> None:
    limit = RateLimit(per_second=1, burst=1, keys=2, clock=Clock())

    for key in ("a", "b", "c"):
        limit.wait(key)

    assert (limit.wait("a"), limit.wait("c")) == (0, pytest.approx(1))


@given(
    gaps=st.lists(st.floats(min_value=0, max_value=5), max_size=60),
    burst=st.integers(min_value=1, max_value=5),
)
def test_never_more_than_the_burst_and_the_rate_allow(gaps: list[float], burst: int) -> None:
    clock = Clock()
    limit = RateLimit(per_second=1, burst=burst, clock=clock)
    taken = []

    for gap in gaps:
        clock.now += gap
        if limit.wait("a") == 0:
            taken.append(clock.now)

    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) + 1e-6
