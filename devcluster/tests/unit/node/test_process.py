"""Containers as processes: real ones, of this machine."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from devcluster.node.process import (
    ContainerProcess,
    ProcessSpec,
    StartError,
    kill_marked,
    last_lines,
    termination_message,
)


def spec(folder: Path, *command: str) -> ProcessSpec:
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    return ProcessSpec(command, environment, folder, folder / "0.log", f"{folder}/0")


async def test_a_process_has_its_environment_its_folder_and_its_log(tmp_path: Path) -> None:
    code = "import os; print(sorted(os.environ), os.getcwd(), flush=True); os.write(2, b'to stderr'); os._exit(3)"

    process = await ContainerProcess.start(spec(tmp_path, sys.executable, "-c", code))

    assert await process.wait() == 3
    expected = f"['DEVCLUSTER_CONTAINER', 'LANG', 'PATH'] {tmp_path}\nto stderr"
    assert (tmp_path / "0.log").read_text() == expected


async def test_a_kill_from_outside_is_reported_as_137(tmp_path: Path) -> None:
    process = await ContainerProcess.start(spec(tmp_path, "sleep", "60"))
    victim = next(child for child in psutil.Process().children() if child.name() == "sleep")

    victim.send_signal(signal.SIGKILL)

    assert await process.wait() == 137


async def test_what_a_container_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess; child = subprocess.Popen(['sleep', '60'], start_new_session=True);"
        "print(child.pid, flush=True)"
    )

    process = await ContainerProcess.start(spec(tmp_path, sys.executable, "-c", code))
    await process.wait()

    pid = int((tmp_path / "0.log").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_only_processes_below_the_marker_end(tmp_path: Path) -> None:
    mine = await ContainerProcess.start(spec(tmp_path, "sleep", "60"))
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = await ContainerProcess.start(spec(other_folder, "sleep", "60"))

    await kill_marked(f"{other_folder}/")

    assert await other.wait() == 137
    waiting = asyncio.create_task(mine.wait())
    assert await asyncio.wait({waiting}, timeout=0.05) == (set(), {waiting})
    mine.kill()
    assert await waiting == 137


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-program", 'exec: "no-such-program": executable file not found in $PATH'),
        ("/no/such", 'exec: "/no/such": stat /no/such: no such file or directory'),
        ("/etc", 'exec: "/etc": permission denied'),
    ],
)
async def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, command: str, message: str) -> None:
    with pytest.raises(StartError) as raised:
        await ContainerProcess.start(spec(tmp_path, command))

    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("said", "log", "policy", "code", "message"),
    [
        ("done", "log", "File", 0, "done"),
        ("", "log", "File", 1, ""),
        ("", "a\nb\n", "FallbackToLogsOnError", 1, "a\nb\n"),
        ("", "log", "FallbackToLogsOnError", 0, ""),
        ("said", "log", "FallbackToLogsOnError", 1, "said"),
        ("x" * 5000, "", "File", 1, "x" * 4096),
        ("", "y" * 3000, "FallbackToLogsOnError", 1, "y" * 2048),
        ("", "line\n" * 100, "FallbackToLogsOnError", 1, "line\n" * 80),
    ],
)
def test_the_last_word_is_the_file_or_the_end_of_the_log(
    tmp_path: Path, said: str, log: str, policy: str, code: int, message: str
) -> None:
    (tmp_path / "message").write_text(said)
    (tmp_path / "log").write_text(log)

    assert termination_message(tmp_path / "message", tmp_path / "log", policy, code) == message


@pytest.mark.parametrize(
    ("content", "count", "expected"),
    [
        ("", 5, b""),
        ("a\nb\nc\n", 2, b"b\nc\n"),
        ("a\nb\nc", 2, b"b\nc"),
        ("a\n", 0, b""),
        ("0123456789\n" * 20_000, 19_999, b"0123456789\n" * 19_999),
    ],
)
def test_the_end_of_a_log_is_read_from_behind(tmp_path: Path, content: str, count: int, expected: bytes) -> None:
    (tmp_path / "log").write_text(content)

    assert last_lines(tmp_path / "log", count) == expected
