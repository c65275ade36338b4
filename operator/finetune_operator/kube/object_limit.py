"""A bound on the objects that are kept of one job: whoever may create pods can put its label and its owner on any number of them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

MOST: Final = 600
"""Of one job. The largest has 256 pods at a time; of those that have ended the status keeps what it needs."""
_SLACK: Final = 150
"""So many more may be there: they are told apart seldom, and not for each that comes."""

_LEAST: Final = 256
"""Of those of the lesser class that stay all the same: attempts that have ended may be many, and hide why the pods of the present one wait."""

Item = TypeVar("Item")
Worth = Callable[[Item], tuple[Any, ...]]
"""What orders objects by how much they tell. The first of it is whether one is of the better class."""


def is_over_limit(number: int) -> bool:
    """Whether there are so many that some are to be left out."""
    return number > MOST + _SLACK


def least_informative(items: Iterable[Item], worth: Worth[Item]) -> list[Item]:
    """Those that are to be left out of too many."""
    ordered = sorted(items, key=worth)
    better = [item for item in ordered if worth(item)[0]]
    lesser = ordered[: len(ordered) - len(better)]
    stay = min(len(lesser), max(_LEAST, MOST - len(better)))
    return [*lesser[: len(lesser) - stay], *better[: max(0, len(better) + stay - MOST)]]


def most_informative(items: Sequence[Item], worth: Worth[Item]) -> list[Item]:
    """Those that are kept, in the order in which they came."""
    left_out = {id(item) for item in least_informative(items, worth)}
    return [item for item in items if id(item) not in left_out]
