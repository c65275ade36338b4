"""An end to what a hostile model's files may keep busy for ever: a tokenizer's expressions, a chat template's loops.

Neither comes back to Python when it should, so that nothing can be raised there. The process ends instead, and says why.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from finetune_trainer.base.errors import TrainerError

End = Callable[[TrainerError], None]
"""Reports a failure, and ends this process at once, from any thread."""

_ends: list[End] = []


def end_late_work_by(end: End) -> None:
    """What ends this process where something takes longer than its limit. Without it, it takes as long as it takes."""
    _ends[:] = [end]


@contextmanager
def ended_after(seconds: float, failure: TrainerError) -> Iterator[None]:
    """End the process with this failure, where what is done within takes longer."""

    def late() -> None:
        for end in _ends:
            end(failure)

    timer = threading.Timer(seconds, late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
