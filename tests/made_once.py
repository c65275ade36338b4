"""What costs a program of its own is made once for all workers of the suite: one that comes meanwhile waits for it, and has a core less to fight for."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]) -> tuple[Any, Path]:
    """What `make` returned, as JSON gives it back, and the folder that it was given, which nobody changes any more.

    Of one that failed nothing is left but its folder, and the next worker tries it again.
    """
    own = factory.getbasetemp()
    place = (own.parent if own.name.startswith("popen-") else own) / "made-once" / name
    place.mkdir(parents=True, exist_ok=True)
    made = place / "made.json"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder = factory.mktemp(name)
            (place / "new.json").write_text(json.dumps([make(folder), str(folder)]))
            (place / "new.json").rename(made)  # a worker that is killed leaves no half of it
        value, where = json.loads(made.read_text())
    return value, Path(where)
