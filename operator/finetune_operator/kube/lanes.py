"""Lines of waiting items, one a lane, which are served in turn: who brings many waits for itself, and others do not."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)

URGENT_IN_A_ROW: Final = 8
"""After so many urgent items of a lane one of the others comes, so that these never wait for ever."""


@dataclass
class _Lane(Generic[T]):
    urgent: OrderedDict[T, float] = field(default_factory=OrderedDict)
    """When each came."""
    others: OrderedDict[T, float] = field(default_factory=OrderedDict)
    in_a_row: int = 0

    def __bool__(self) -> bool:
        return bool(self.urgent or self.others)

    def __contains__(self, item: T) -> bool:
        return item in self.urgent or item in self.others

    def since(self) -> float:
        """When the first came of those that wait."""
        return min(time for line in (self.urgent, self.others) for time in islice(line.values(), 1))

    def pop(self) -> T:
        urgent = bool(self.urgent) and (not self.others or self.in_a_row < URGENT_IN_A_ROW)
        self.in_a_row = self.in_a_row + 1 if urgent else 0
        return (self.urgent if urgent else self.others).popitem(last=False)[0]


class Lanes(Generic[T]):
    """Items by lane. Each is in it once; within a lane urgent ones come first, else the first to come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lanes: OrderedDict[str, _Lane[T]] = OrderedDict()
        """The lanes in which something waits; the next in turn is the first."""

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __len__(self) -> int:
        return sum(len(line.urgent) + len(line.others) for line in self._lanes.values())

    def age(self) -> float:
        """For how many seconds the first has waited of all that wait; 0 if none does."""
        since = min((line.since() for line in self._lanes.values()), default=self._clock())
        return self._clock() - since

    def holds(self, lane: str, item: T) -> bool:
        """Whether an item waits in this lane."""
        line = self._lanes.get(lane)
        return line is not None and item in line

    def put(self, lane: str, item: T, *, urgent: bool = False) -> None:
        """Let an item wait. One that waits already keeps its place, unless it has become urgent."""
        line = self._lanes.setdefault(lane, _Lane())
        if urgent:
            line.urgent.setdefault(item, line.others.pop(item, self._clock()))
        elif item not in line.urgent:
            line.others.setdefault(item, self._clock())

    def discard(self, lane: str, item: T) -> None:
        """Take an item out, if it still waits."""
        line = self._lanes.get(lane)
        if line is not None:
            line.urgent.pop(item, None)
            line.others.pop(item, None)
            if not line:
                del self._lanes[lane]

    def pop(self, is_open: Callable[[str], bool] = lambda _: True) -> tuple[str, T] | None:
        """The next item and its lane, and the lane's turn is over. None if nothing waits in a lane that is open."""
        lane = next((name for name in self._lanes if is_open(name)), None)
        if lane is None:
            return None
        line = self._lanes[lane]
        item = line.pop()
        self._lanes.move_to_end(lane)
        if not line:
            del self._lanes[lane]
        return lane, item
