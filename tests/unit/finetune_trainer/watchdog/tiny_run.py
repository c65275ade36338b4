"""A run of tiny processes that stops to move, for the tests of the watchdog: `python tiny_run.py ENDING [ENDING of process 1]`.

`python tiny_run.py launch ENDING ...` has these processes started by one that waits for their end, as `processes.launch` does,
`stop_and_launch` by one that is stopped before, `stop_and_begin` by one that is stopped before it has said anything, `launch_and_hang` by
one that hangs as soon as it has, `launch_and_hang_at_the_end` by one that does once they have ended, and `launch_until_one_ends` by one that
ends the others then, as torch's agent does. What one of them has reported of its failure is the run's.
"""

import ctypes
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from finetune_api.report import ExitCode, FinalReport
from finetune_trainer.processes.child import ENV_FINAL_REPORTS, write_final_report
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
    train_on()


def train_on() -> None:
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


def save_for_long() -> None:
    HEARTBEAT.stage("Saving", "saving a checkpoint")
    time.sleep(12)


def end() -> None:
    pass


def fail() -> None:
    sys.exit(3)


def finish() -> None:
    HEARTBEAT.stage("Finished", None)
    HEARTBEAT.ends(1.0)


def finish_and_hang() -> None:
    finish()
    deadlock()


def fail_and_hang() -> None:
    write_final_report(FinalReport(exit_code=ExitCode.DATA))
    HEARTBEAT.ends(1.0)
    deadlock()


def deadlock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def wait_for_a_loader() -> None:
    """Of two: one is stopped."""
    loaders = [os.fork()]
    if loaders[0] == 0:
        sleep()
    loaders.append(os.fork())
    if loaders[1] == 0:
        stop()
    sleep()


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
    heartbeat.launches("watching over its processes")
    if endings[0] == "stop_and_launch":
        stop()
    reports = Path(tempfile.mkdtemp())
    os.environ[ENV_FINAL_REPORTS] = str(reports)
    children = set()
    for rank, ending in enumerate(endings[1:]):
        child = os.fork()
        if child == 0:
            os.environ["RANK"] = str(rank)
            return train(ending)
        children.add(child)
    signal.signal(signal.SIGTERM, lambda number, frame: [os.kill(child, number) for child in children])
    if endings[0] == "launch_and_hang":
        deadlock()
    codes = []
    while children:
        heartbeat.launches("watching over its processes")
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            children.remove(pid)
            codes.append(os.waitstatus_to_exitcode(status))
            if endings[0] == "launch_until_one_ends":
                heartbeat.launches("stopping its processes", 60.0, is_over=True)
                time.sleep(5)
                for child in children:
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    heartbeat.launches("ending")
    if endings[0] == "launch_and_hang_at_the_end":
        deadlock()
    del os.environ[ENV_FINAL_REPORTS]
    for path in reports.glob("*.json"):
        failed = FinalReport.model_validate_json(path.read_bytes())
        write_final_report(failed)
        codes.append(failed.exit_code)
    return max(codes)


def main(endings: list[str]) -> int:
    if endings[0].startswith("launch") or endings[0] in ("stop_and_begin", "stop_and_launch"):
        return launch(endings)
    for rank, ending in enumerate(endings[1:], start=1):
        if os.fork() == 0:
            os.environ["RANK"] = str(rank)
            return train(ending)
    return train(endings[0])


if __name__ == "__main__":
    sys.exit(run_watched(lambda: main(sys.argv[1:])))
