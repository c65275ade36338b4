"""Signs of life of a process."""

import os
import subprocess
from pathlib import Path

import psutil

from finetune_trainer.watchdog.activity import Idleness, Sample, is_stopped, sample


def test_a_process_is_idle_for_as_long_as_it_hardly_computes_reads_or_receives() -> None:
    idleness = Idleness(0.0, Sample(cpu_seconds=5.0, bytes=0))

    found = []
    for now, used in [
        (60.0, Sample(5.1, 1000)),
        (120.0, Sample(5.2, 2000)),
        (180.0, Sample(6.2, 3000)),
        (240.0, Sample(6.2, 3000)),
        (300.0, Sample(6.2, 3000 + 2**20)),
        (360.0, Sample(6.3, 3000 + 2**20)),
        (420.0, Sample(2.0, 1000)),
    ]:
        idleness.add(now, used)
        found.append(idleness.seconds)

    assert found == [60.0, 120.0, 0.0, 60.0, 0.0, 60.0, 0.0]


def test_what_a_process_has_used_is_read_from_the_system() -> None:
    before = sample(os.getpid())
    sum(range(3_000_000))
    Path(__file__).read_bytes()

    after = sample(os.getpid())

    assert after.cpu_seconds > before.cpu_seconds > 0
    assert after.bytes > before.bytes
    assert sample(2**22 + 1).cpu_seconds == 0


def test_a_process_that_a_signal_has_stopped_is_told_from_one_that_waits_and_from_one_that_is_gone() -> None:
    with subprocess.Popen(["sleep", "600"]) as started:
        process = psutil.Process(started.pid)
        waits = is_stopped(process.pid)

        process.suspend()
        while process.status() != psutil.STATUS_STOPPED:
            pass
        stopped = is_stopped(process.pid)
        process.resume()
        goes_on = is_stopped(process.pid)
        process.kill()

    assert (waits, stopped, goes_on, is_stopped(process.pid)) == (False, True, False, False)
