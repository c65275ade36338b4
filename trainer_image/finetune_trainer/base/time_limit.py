"""An end to what a hostile model's files may keep busy for ever: a tokenizer's expressions, a chat template's loops.

Neither comes back to Python when it should, so that nothing can be raised there. The process ends instead, and says why.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from finetune_trainer.base.errors import TrainerError

End = Callable[[TrainerError], None]
"""Reports a failure, and ends this process at once, from any thread."""

_ends: list[End] = []


def end_late_work_by(end: End) -> None:
    """What ends this process where something takes longer than its limit. Without it, it takes as long as it takes."""
    _ends[:] = [end]


class Limit:
    """A time that begins anew with each part that comes to an end."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self.begin()

    def begin(self) -> None:
        self._until = self._clock() + self._seconds

    @property
    def left(self) -> float:
        """Seconds, 0 where the time is over."""
        return max(0.0, self._until - self._clock())


_limits: list[Limit] = []


def came_on() -> None:
    """Begin the time of what is limited anew: a part of it has come to its end, such as one of many chats."""
    for limit in _limits:
        limit.begin()


@contextmanager
def ended_after(seconds: float, failure: TrainerError) -> Iterator[None]:
    """End the process with this failure, where what is done within takes longer, from its beginning or the last `came_on`."""
    limit, over = Limit(seconds), threading.Event()

    def watch() -> None:
        while not over.wait(limit.left):
            if not limit.left:
                for end in _ends:
                    end(failure)
                return

    _limits.append(limit)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        _limits.remove(limit)
