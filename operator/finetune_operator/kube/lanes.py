"""Lines of waiting items, one a lane, which are served in turn: who brings many waits for itself, and others do not.

Start-time fair queueing (https://doi.org/10.1109/90.649569): each lane's next item has a tag, one more than that of the item before it, and
the smallest is the next to be served. A lane in which nothing waited for a while begins a little before the others: what comes seldom is
served at once, however many lanes are full.
"""

import heapq
import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, TypeAlias, TypeVar

T = TypeVar("T", bound=Hashable)

URGENT_IN_A_ROW: Final = 8
"""After so many urgent items of a lane one of the others comes, so that these never wait for ever."""
_REMEMBERED: Final = 1000
"""Lanes in which nothing waits, before those are looked for that may be forgotten."""

_Turn: TypeAlias = tuple[float, int, str]
"""The tag of a lane's next item, what counts among equals, and the lane."""


@dataclass
class _Lane(Generic[T]):
    urgent: OrderedDict[T, float] = field(default_factory=OrderedDict)
    """When each came."""
    others: OrderedDict[T, float] = field(default_factory=OrderedDict)
    in_a_row: int = 0
    turn: _Turn = (0.0, 0, "")

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

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, ahead: int = 0) -> None:
        """Make it empty. So many items of a lane in which little came go `ahead` of the lanes in which much waits."""
        self._clock = clock
        self._ahead = ahead
        self._lanes: dict[str, _Lane[T]] = {}
        """The lanes in which something waits."""
        self._turns: list[_Turn] = []
        """A heap of theirs, and of some that hold no more."""
        self._count = itertools.count()
        self._now = 0.0
        """The greatest tag that was served."""
        self._tags: dict[str, float] = {}
        """Of the next item of each lane in which nothing waits, where something was served of late."""
        self._most_remembered = _REMEMBERED

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __len__(self) -> int:
        return sum(len(line.urgent) + len(line.others) for line in self._lanes.values())

    def __iter__(self) -> Iterator[T]:
        return (item for line in self._lanes.values() for item in (*line.urgent, *line.others))

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
        line = self._lanes.get(lane)
        if line is None:
            line = self._lanes[lane] = _Lane()
            self._take_turn(lane, line, self._tags.pop(lane, -math.inf))
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
                self._leave(lane, line.turn[0])

    def pop(self, is_open: Callable[[str], bool] = lambda _: True) -> tuple[str, T] | None:
        """The next item and its lane, and the lane's turn is over. None if nothing waits in a lane that is open."""
        found, closed = None, list[_Turn]()
        while self._turns and found is None:
            turn = heapq.heappop(self._turns)
            line = self._lanes.get(turn[2])
            if line is None or line.turn is not turn:
                continue
            if is_open(turn[2]):
                found = turn[2], self._serve(turn, line)
            else:
                closed.append(turn)
        for turn in closed:
            heapq.heappush(self._turns, turn)
        return found

    def _serve(self, turn: _Turn, line: _Lane[T]) -> T:
        # What a lane missed while it was closed, it does not get afterwards.
        tag, lane = max(turn[0], self._least()), turn[2]
        self._now = max(self._now, tag)
        item = line.pop()
        if line:
            self._take_turn(lane, line, tag + 1)
        else:
            self._leave(lane, tag + 1)
        return item

    def _least(self) -> float:
        """The tag with which a lane begins in which nothing was served of late."""
        return self._now + 1 - self._ahead

    def _take_turn(self, lane: str, line: _Lane[T], tag: float) -> None:
        line.turn = max(tag, self._least()), next(self._count), lane
        heapq.heappush(self._turns, line.turn)
        if len(self._turns) > 2 * len(self._lanes) + _REMEMBERED:
            self._turns = [each.turn for each in self._lanes.values()]
            heapq.heapify(self._turns)

    def _leave(self, lane: str, tag: float) -> None:
        """Forget a lane in which nothing waits any more, but for what it has had of late."""
        del self._lanes[lane]
        self._tags[lane] = tag
        if len(self._tags) > self._most_remembered:
            self._tags = {name: each for name, each in self._tags.items() if each > self._least()}
            self._most_remembered = max(_REMEMBERED, 2 * len(self._tags))
