"""One run of a container as a process of this machine, with its descendants."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MARKER = "DEVCLUSTER_CONTAINER"
"""Environment variable that every process of a container inherits, so that none of them can be lost.

A program may leave its process group (torchrun starts its workers so), but not its environment.
"""

TERMINATION_MESSAGE_BYTES = 4096
FALLBACK_BYTES = 2048
FALLBACK_LINES = 80


class StartError(Exception):
    """The program cannot be started; the message is in the container runtime's words."""


@dataclass(frozen=True)
class ProcessSpec:
    """How to start a container's process. `marker` is unique to this run."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    marker: str


class ContainerProcess:
    """A started process, in its own session and process group."""

    def __init__(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        self._spec = spec
        self._process = process

    @classmethod
    async def start(cls, spec: ProcessSpec) -> "ContainerProcess":
        """Start the program with its output in the log file.

        Raises:
            StartError: it does not exist or cannot be executed.
        """
        program = _find(spec.command[0], spec.environment.get("PATH", ""), spec.folder)
        with spec.log.open("ab") as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    program,
                    *spec.command[1:],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=spec.folder,
                    env={**spec.environment, MARKER: spec.marker},
                    start_new_session=True,
                )
            except OSError as error:
                raise StartError(f'exec: "{spec.command[0]}": {(error.strerror or str(error)).lower()}') from error
        return cls(spec, process)

    async def wait(self) -> int:
        """Wait for the main process and kill the rest; return the exit code, 128 + N after signal N."""
        try:
            code = await self._process.wait()
        finally:
            await kill_marked(self._spec.marker)
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Send SIGTERM to the main process alone, as to the first process of a container."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the main process; `wait` then kills the rest."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


def _find(program: str, path: str, folder: Path) -> str:
    if "/" not in program:
        found = shutil.which(program, path=path)
        if not found:
            raise StartError(f'exec: "{program}": executable file not found in $PATH')
        return found
    target = folder / program
    if not target.exists():
        raise StartError(f'exec: "{program}": stat {program}: no such file or directory')
    if target.is_dir() or not os.access(target, os.X_OK):
        raise StartError(f'exec: "{program}": permission denied')
    return str(target)


async def kill_marked(prefix: str) -> None:
    """Kill every process whose marker starts with `prefix`, also in other sessions."""
    await asyncio.to_thread(_end_marked, prefix)


def _end_marked(prefix: str) -> None:
    while _kill_marked(prefix):
        # A process that was being forked during the search is found in the next round.
        time.sleep(0.02)


def _kill_marked(prefix: str) -> int:
    killed = 0
    for process in psutil.process_iter():
        # Processes of other users cannot be read, and any process may end meanwhile.
        with suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARKER, "").startswith(prefix):
                process.kill()
                killed += 1
    return killed


def termination_message(file: Path, log: Path, policy: str, exit_code: int) -> str:
    """Return a container's termination message: its file or, by policy and after a failure, the end of its log."""
    try:
        content = file.read_bytes()[:TERMINATION_MESSAGE_BYTES]
    except OSError:
        content = b""
    if not content and policy == "FallbackToLogsOnError" and exit_code != 0:
        content = last_lines(log, FALLBACK_LINES)[-FALLBACK_BYTES:]
    return content.decode(errors="ignore")


def last_lines(log: Path, count: int) -> bytes:
    """Return the last `count` lines of a file, read from its end."""
    block = 65536
    with log.open("rb") as stream:
        position = stream.seek(0, os.SEEK_END)
        tail = b""
        # One newline more than lines, since the last one ends in a newline, too.
        while position > 0 and tail.count(b"\n") <= count:
            step = min(block, position)
            position -= step
            stream.seek(position)
            tail = stream.read(step) + tail
    lines = tail.splitlines(keepends=True)
    return b"".join(lines[-count:]) if count else b""
