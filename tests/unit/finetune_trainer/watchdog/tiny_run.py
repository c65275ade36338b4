"""A run of tiny processes that stops to move, for the tests of the watchdog: `python tiny_run.py ENDING [ENDING of process 1]`.

`python tiny_run.py launch ENDING ...` has these processes started by one that waits for their end, as `processes.launch` does, and
`stop_and_launch` by one that is stopped before, and `stop_and_begin` by one that is stopped before it has said anything.
"""

import ctypes
import os
import signal
import sys
import time
from typing import Any

from finetune_trainer.processes.child import ENV_FINAL_REPORTS
from finetune_trainer.progress.heartbeat import Heartbeat
from finetune_trainer.watchdog.watchdog import run_watched

_NAMES: dict[str, Any] = {"time": time}
exec(compile("def any():\n time.sleep(600)", "/app/finetune_trainer/processes/group.py", "exec"), _NAMES)  # noqa: S102


def sleep() -> None:
    time.sleep(600)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def stop_the_launcher_and_train_on() -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    for step in range(18, 2000):
        time.sleep(0.05)
        HEARTBEAT.step(step)


def stop_the_launcher_and_export() -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    while True:
        HEARTBEAT.stage("Exporting", "writing the model")
        time.sleep(0.05)


def stop_the_launcher_and_end() -> None:
    os.kill(os.getppid(), signal.SIGSTOP)


def stop_the_launcher_until_told_to_save() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    os.kill(os.getppid(), signal.SIGSTOP)
    HEARTBEAT.stage("Saving", "saving a checkpoint")
    print("ready", flush=True)
    time.sleep(600)


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


def launch(endings: list[str]) -> int:
    if endings[0] == "stop_and_begin":
        stop()
    heartbeat = Heartbeat.from_environment()
    heartbeat.launches()
    if endings[0] == "stop_and_launch":
        stop()
    os.environ[ENV_FINAL_REPORTS] = "/nowhere"
    children = []
    for rank, ending in enumerate(endings[1:]):
        child = os.fork()
        if child == 0:
            os.environ["RANK"] = str(rank)
            return train(ending)
        children.append(child)
    signal.signal(signal.SIGTERM, lambda number, frame: [os.kill(child, number) for child in children])
    return max([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])


def main(endings: list[str]) -> int:
    if endings[0] in ("launch", "stop_and_begin", "stop_and_launch"):
        return launch(endings)
    for rank, ending in enumerate(endings[1:], start=1):
        if os.fork() == 0:
            os.environ["RANK"] = str(rank)
            return train(ending)
    return train(endings[0])


if __name__ == "__main__":
    sys.exit(run_watched(lambda: main(sys.argv[1:])))
