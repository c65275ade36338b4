"""The stacks of processes, as they write them themselves at a signal."""

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psutil

from finetune_trainer.base.heartbeat import STACKS_SIGNAL, stacks_file

_ANSWER_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)$', re.MULTILINE)
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x[0-9a-f]+.*$", re.MULTILINE)
_WAITS = (
    "torch/distributed/distributed_c10d.py",
    "torch/autograd/graph.py",
    "finetune_trainer/processes/group.py",
    "finetune_trainer/processes/exchange.py",
    "finetune_trainer/processes/rendezvous.py",
)
"""Where a process waits for the others: in a collective, in the backward pass, which reduces the gradients, or at the first machine's store."""
_INNERMOST = 4
_CHILDREN = 8
_OBSTACLES: Mapping[str, str] = {
    psutil.STATUS_STOPPED: "is stopped (by SIGSTOP, or by a debugger)",
    psutil.STATUS_TRACING_STOP: "is stopped by a debugger",
    psutil.STATUS_DISK_SLEEP: "waits for a disk or a network file system",
    psutil.STATUS_ZOMBIE: "has ended",
}


@dataclass(frozen=True)
class Stacks:
    """Of one process."""

    text: str
    """The stacks of all its threads as faulthandler writes them, with nothing of what variables hold. Empty where it did not answer."""
    obstacle: str | None
    """Why it did not answer."""
    children: tuple["Child", ...] = ()
    """What it has forked, such as processes that load data, in which the cause may be."""

    @property
    def frames(self) -> list[str]:
        """The main thread's, the innermost first: `loader.py:12 in next_batch`."""
        return [f"{_short(file)}:{line} in {name}" for file, line, name in self._main()]

    @property
    def place(self) -> str:
        """Where the main thread is; that of Python's own library by its nearest caller too."""
        return " < ".join(self.frames[:2]) or "no line of Python"

    @property
    def waits(self) -> bool:
        """Whether the main thread waits for other processes."""
        return any(file.endswith(_WAITS) for file, _, _ in self._main()[:_INNERMOST])

    def _main(self) -> list[tuple[str, str, str]]:
        heads = list(_THREAD.finditer(self.text))
        if not heads:
            return []
        # The signal comes to the main thread; if not, it is the one that began first, and faulthandler has it last.
        head = next((each for each in heads if each[0].startswith("Current")), heads[-1])
        end = next((each.start() for each in heads if each.start() > head.start()), len(self.text))
        return [(each["file"], each["line"], each["name"]) for each in _FRAME.finditer(self.text, head.end(), end)]


@dataclass(frozen=True)
class Child:
    """A process that one of the run has forked."""

    pid: int
    stacks: Stacks

    def __str__(self) -> str:
        return f"its child process {self.pid} {self.stacks.obstacle or f'is at {self.stacks.place}'}"


def with_children(folder: Path, pid: int, stacks: Stacks) -> Stacks:
    """Return the stacks of a process with those of the first few that it has forked: they answer by its file."""
    try:
        others = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return stacks
    answer, children = stacks_file(folder, pid), []
    own = [each.pid for each in others if not stacks_file(folder, each.pid).exists()]
    for child in own[:_CHILDREN]:
        obstacle = _obstacle(child)
        if obstacle is None and _answers(child) and answer.exists():
            _signal(child, answer)
            text = _settled_within(answer, _ANSWER_SECONDS)
            children.append(Child(child, Stacks(text, None if text else "does not answer a signal")))
        elif obstacle:
            children.append(Child(child, Stacks("", obstacle)))
    return replace(stacks, children=tuple(children))


def collect(folder: Path, pids: Iterable[int]) -> dict[int, Stacks]:
    """Return the stacks of processes that have a heartbeat in `folder`."""
    waiting, found = [], {}
    for pid in pids:
        obstacle = _obstacle(pid)
        if not stacks_file(folder, pid).exists():
            found[pid] = Stacks("", obstacle or "has not begun")  # the signal would end it
        elif obstacle and obstacle != _OBSTACLES[psutil.STATUS_DISK_SLEEP]:
            found[pid] = Stacks("", obstacle)
        else:
            _signal(pid, stacks_file(folder, pid))
            waiting.append(pid)
    deadline = time.monotonic() + _ANSWER_SECONDS
    while waiting and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        for pid in [*waiting]:
            text = _settled(stacks_file(folder, pid))
            if text:
                waiting.remove(pid)
                found[pid] = Stacks(text, None)
    for pid in waiting:
        found[pid] = Stacks("", _obstacle(pid) or "does not answer a signal")
    return found


def _settled_within(path: Path, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if text := _settled(path):
            return text
    return ""


def _answers(pid: int) -> bool:
    """Return whether a process handles STACKS_SIGNAL, as it does that was forked by one of the run: any other program would end."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (STACKS_SIGNAL - 1) & 1)


def _settled(path: Path) -> str:
    """Return what the file holds, once it does not grow any more."""
    before = path.stat().st_size
    time.sleep(_POLL_SECONDS)
    return path.read_text(encoding="utf-8", errors="replace") if 0 < before == path.stat().st_size else ""


def _obstacle(pid: int) -> str | None:
    try:
        return _OBSTACLES.get(psutil.Process(pid).status())
    except psutil.Error:
        return "has ended"


def _signal(pid: int, answer: Path) -> None:
    os.truncate(answer, 0)
    try:
        os.kill(pid, STACKS_SIGNAL)
    except ProcessLookupError:
        return


def _short(file: str) -> str:
    """A path from its package on."""
    return file.rpartition("site-packages/")[2] if "site-packages/" in file else "/".join(file.split("/")[-2:])
