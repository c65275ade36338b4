"""Kills a process that saves, before each of its operations on files in turn. A program of its own, since it forks.

Prints the number of moments, and the steps that were the newest after one of them.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from finetune_trainer.checkpoints.manifest import verify
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.storage.local_output import LocalOutput

RUN = {"configDigest": "sha256:1", "jobUid": None}
OPERATIONS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")


def opened(folder: Path) -> CheckpointStore:
    store = CheckpointStore(LocalOutput(f"file://{folder}", folder), RUN, keep=1)
    store.find()
    store.begin()
    return store


def save(store: CheckpointStore, step: int) -> None:
    store.sweep()
    written = store.scratch / f"checkpoint-{step}"
    (written / "sub").mkdir(parents=True)
    (written / "model.bin").write_bytes(b"weights")
    (written / "sub" / "state.bin").write_bytes(b"state")
    store.publish(written, step, step / 10)
    store.rotate(best=None)


def dies_at(number: int, folder: Path) -> bool:
    """Save steps 2 and 3 in a child that kills itself before its operation `number`. Whether it came that far."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    store = opened(folder)
    count = 0

    def kill(event: str, arguments: Any) -> None:
        nonlocal count
        if event in OPERATIONS:
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    for step in (2, 3):
        save(store, step)
    os._exit(0)


def main(root: Path) -> None:
    number, left, died = 0, set(), True
    while died:
        number += 1
        folder = root / str(number)
        save(opened(folder), 1)

        died = dies_at(number, folder)

        broken = [path.name for path in folder.glob("checkpoints/step-*") if verify(path, RUN)[0] is None]
        found = opened(folder)
        leftovers = [path.name for path in folder.glob("checkpoints/.*") if path != found.scratch]
        if broken or leftovers or found.newest is None:
            sys.exit(f"killed at operation {number}: broken {broken}, left over {leftovers}, newest {found.newest}")
        left.add(found.newest.step)
    print(json.dumps([number, sorted(left)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
