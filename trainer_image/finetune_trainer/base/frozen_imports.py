"""Imports of large libraries that Python's garbage collector leaves alone."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen_imports() -> Iterator[None]:
    """Import within this what stays for as long as the process runs: the garbage collector never looks at it.

    torch and transformers make so many objects that looking through them while they are imported, and again at the end of
    a run, where accelerate asks for it, takes a third of the processor's time of a short run.
    """
    first = gc.get_freeze_count() == 0  # later there may be garbage among the objects, which would stay too
    gc.disable()
    try:
        yield
    finally:
        if first:
            gc.freeze()
        gc.enable()
