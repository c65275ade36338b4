"""A run of tiny processes that stops to move, for the tests of the watchdog: `python tiny_run.py ENDING [ENDING of process 1]`."""

import ctypes
import os
import signal
import sys
import time
from typing import Any

from finetune_trainer.progress.heartbeat import Heartbeat
from finetune_trainer.watchdog.watchdog import run_watched

_NAMES: dict[str, Any] = {"time": time}
exec(compile("def any():\n time.sleep(600)", "/app/finetune_trainer/processes/group.py", "exec"), _NAMES)  # noqa: S102


def sleep() -> None:
    time.sleep(600)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def hold_the_lock() -> None:
    ctypes.PyDLL(None).sleep(600)


def wait_for_the_others() -> None:
    _NAMES["any"]()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def save() -> None:
    HEARTBEAT.stage("Saving", "saving a checkpoint")
    time.sleep(3)


def leave() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    HEARTBEAT.stage("Saving", "saving a checkpoint")
    print("ready", flush=True)
    time.sleep(600)


HEARTBEAT = Heartbeat()


def train(ending: str) -> int:
    global HEARTBEAT
    HEARTBEAT = Heartbeat.from_environment()
    HEARTBEAT.resumed_from(10)
    HEARTBEAT.stage("Preparing", "loading the model")
    HEARTBEAT.stage("Training", None)
    for step in range(11, 18):
        HEARTBEAT.step(step)
    globals()[ending]()
    return 0


def main(endings: list[str]) -> int:
    for rank, ending in enumerate(endings[1:], start=1):
        if os.fork() == 0:
            os.environ["RANK"] = str(rank)
            return train(ending)
    return train(endings[0])


if __name__ == "__main__":
    sys.exit(run_watched(lambda: main(sys.argv[1:])))
