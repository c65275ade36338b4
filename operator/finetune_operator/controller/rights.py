"""Rights that the operator lacks for what it changes and deletes: asked for again soon, and ever more seldom the more jobs wait for one."""

from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

from finetune_operator.controller.blocked import Obstacle, lacks_right, longest_wait
from finetune_operator.job.finetunejob import Key

_LATE: Final = 60.0
"""Seconds after which what was to be asked for again is not wanted any more: its job has ended, or has left the queue."""


class MissingRights:
    """The jobs for which a right was lacking when it was last asked for, and for which it will be again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: WeakValueDictionary[Key, Obstacle] = WeakValueDictionary()

    def longest(self, key: Key, obstacle: Obstacle, said: str) -> float:
        """Take in what the API server says of what was asked of it for a job. Return the seconds within which to ask again.

        `obstacle` is where that is kept until then: once it is cleared or dropped, the job does not count any more.
        """
        if lacks_right(said):
            self._waiting[key] = obstacle
        else:
            self._waiting.pop(key, None)
        others = sum(self._waits(each) for each in self._waiting.values() if each is not obstacle)
        return longest_wait(said, 1 + others)

    def _waits(self, obstacle: Obstacle) -> bool:
        return obstacle.cause is not None and obstacle.due > self._clock() - _LATE
