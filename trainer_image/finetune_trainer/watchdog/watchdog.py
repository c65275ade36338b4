"""Runs the trainer in a process of its own, which it watches: this one stays small, and does nothing else.

In a pod this is the first process, which nothing inside can kill: it outlives whatever the run does.
"""

import ctypes
import logging
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

from finetune_api.reasons import Reason
from finetune_api.report import ENV_NODE_RANK, ExitCode, FinalReport
from finetune_api.status import MAX_LOG_TAIL, Failure
from finetune_api.values import MAX_MESSAGE
from finetune_trainer.base.heartbeat import ENV_HEARTBEATS, Beat, read_beats
from finetune_trainer.base.redaction import redact
from finetune_trainer.processes.child import write_final_report
from finetune_trainer.watchdog.activity import SLICE_SECONDS, Idleness, is_stopped, sample
from finetune_trainer.watchdog.stacks import Stacks, collect
from finetune_trainer.watchdog.stall import Watched, explain, silent_share, suspects

_POLL_SECONDS: Final = 1.0
_LONGEST_POLL_SECONDS: Final = 5.0
"""What takes longer is a machine that slept, or a container that was frozen: its processes were so as well."""
_OTHERS_SECONDS: Final = 60.0
"""For so long a machine whose processes wait for those of another leaves it to that one to end the run."""
_LOGGED_LETTERS: Final = 64 * 1024
_SAID_AT: Final = 0.5

logger = logging.getLogger(__name__)


def run_watched(main: Callable[[], int]) -> int:
    """Run `main` in a process of its own. Return its exit code, or STALLED if the run had to be ended.

    Call it before anything starts a thread. In the new process it returns what `main` returns, too.
    """
    folder = Path(tempfile.mkdtemp(prefix="finetune-watch-"))
    os.environ[ENV_HEARTBEATS] = str(folder)
    signals = _Signals()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        signals.reset()
        _die_with(parent)
        return main()
    try:
        return _Watchdog(child, folder, signals).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when the watchdog is gone: a container ends as a whole, too."""
    if sys.platform == "linux":
        parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


class _Signals:
    """Wakes the watchdog when a signal comes, and notes those that are to be passed on."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._wakeup = signal.set_wakeup_fd(self._write)

    def wait(self, seconds: float) -> None:
        """Return when a signal comes, or the time is over."""
        if select.select([self._read], [], [], seconds)[0]:
            os.read(self._read, 1024)

    def reset(self) -> None:
        """Handle signals as before."""
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)


@dataclass
class _Seen:
    """What the watchdog remembers of a process."""

    beat: Beat
    silence: float = 0.0
    idleness: Idleness | None = None
    """Measured once it has been silent for a while."""
    stopped: float = 0.0

    def watched(self) -> Watched:
        return Watched(self.beat, self.silence, self.idleness.seconds if self.idleness else 0.0, self.stopped)


class _Watchdog:
    def __init__(self, child: int, folder: Path, signals: _Signals) -> None:
        self._child = child
        self._folder = folder
        self._signals = signals
        self._seen: dict[int, _Seen] = {}
        self._last_look = time.monotonic()
        self._said = False
        self._over = False
        """Whether there is nothing to watch any more."""
        self._waits_for_others = 0.0
        """Seconds for which the run may go on that waits for another machine."""

    def run(self) -> int:
        while True:
            code = self._ended()
            if code is not None:
                return code
            self._signals.wait(_POLL_SECONDS)
            for number in self._signals.received:
                os.kill(self._child, number)
                self._over = True  # it saves what it has, in the time that Kubernetes leaves
            self._signals.received.clear()
            if not self._over and self._ends_the_run():
                return ExitCode.STALLED

    def _ends_the_run(self) -> bool:
        """Whether the run did not move, and is ended."""
        try:
            watched = self._look()
            if not self._is_stalled(watched):
                return False
            stacks = collect(self._folder, [each.beat.pid for each in watched])
            if not self._is_ours(watched, stacks):
                return False
            self._end(watched, stacks)
        except Exception:  # a fault of the watchdog is never worth a run
            logger.exception("the run is not watched any more")
            self._over = True
            return False
        return True

    def _ended(self) -> int | None:
        """Return the exit code of the trainer, 128 + N after signal N; None while it runs. Also takes in what others left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ExitCode.INTERNAL
            if pid == self._child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if pid == 0:
                return None

    def _look(self) -> list[Watched]:
        """Return the processes that are there, each with the time since its last move."""
        now = time.monotonic()
        passed = min(now - self._last_look, _LONGEST_POLL_SECONDS)
        self._last_look = now
        beats = [beat for beat in read_beats(self._folder) if psutil.pid_exists(beat.pid)]
        self._seen = {beat.pid: self._update(beat, now, passed) for beat in beats}
        return [each.watched() for each in self._seen.values()]

    def _update(self, beat: Beat, now: float, passed: float) -> _Seen:
        seen = self._seen.get(beat.pid)
        if seen is None or seen.beat.moves != beat.moves:
            return _Seen(beat)
        seen.silence += passed
        seen.stopped = seen.stopped + passed if is_stopped(beat.pid) else 0.0
        if beat.seconds is None and seen.silence >= SLICE_SECONDS:
            if seen.idleness is None:
                seen.idleness = Idleness(now, sample(beat.pid))
            elif seen.idleness.is_due(now):
                seen.idleness.add(now, sample(beat.pid))
        return seen

    def _is_stalled(self, watched: list[Watched]) -> bool:
        share = silent_share(watched)
        if share < _SAID_AT:
            self._said, self._waits_for_others = False, 0.0
        elif not self._said:
            self._said = True
            silence = min(each.silence for each in watched)
            logger.warning(
                "the run has not moved for %.0f s after step %d (%s); it is ended at %.0f s",
                silence, max(each.beat.step for each in watched), watched[0].beat.doing, silence / share,
            )  # fmt: skip
        return share >= 1 and min(each.silence for each in watched) >= self._waits_for_others

    def _is_ours(self, watched: list[Watched], stacks: dict[int, Stacks]) -> bool:
        """Return whether to end the run now, and not leave that to the machine for whose processes those of this one wait."""
        if suspects(watched, stacks) or self._waits_for_others:
            return True
        node = int(os.environ.get(ENV_NODE_RANK) or 0)
        self._waits_for_others = min(each.silence for each in watched) + _OTHERS_SECONDS * (1 if node == 0 else 2)
        return ENV_NODE_RANK not in os.environ

    def _end(self, watched: list[Watched], stacks: dict[int, Stacks]) -> None:
        """Log and report the stacks, and kill all that runs."""
        found = suspects(watched, stacks)
        message = redact(explain(watched, found, stacks))
        ordered = [*found, *(each for each in watched if each not in found)]
        logger.error("error: %s", message)
        logger.error("%s", redact("\n".join(_whole(each, stacks) for each in ordered))[:_LOGGED_LETTERS])
        failure = Failure(
            reason=Reason.PROGRESS_STALLED,
            message=message[:MAX_MESSAGE],
            hint="the log has the stacks of all processes; a new attempt goes on from the newest checkpoint. If "
            "steps may rightly take as long, raise runPolicy.progressDeadlineSeconds",
            exit_code=ExitCode.STALLED,
            log_tail=redact("\n".join(_short(each, stacks) for each in ordered))[:MAX_LOG_TAIL],
        )
        resumed_from = watched[0].beat.resumed_from
        write_final_report(FinalReport(exit_code=ExitCode.STALLED, failure=failure, resumed_from_step=resumed_from))
        _kill({self._child, *(each.beat.pid for each in watched)})


def _whole(process: Watched, stacks: dict[int, Stacks]) -> str:
    state = stacks[process.beat.pid]
    return f"process {process.beat.rank} {state.obstacle or 'is here:'}\n{state.text}"


def _short(process: Watched, stacks: dict[int, Stacks]) -> str:
    state = stacks[process.beat.pid]
    head = f"process {process.beat.rank} (step {process.beat.step}) {state.obstacle or 'is at'}"
    return "\n  ".join([head, *state.frames[:12]])


def _kill(pids: Iterable[int]) -> None:
    """Kill these processes and all that they have started."""
    for pid in pids:
        try:
            root = psutil.Process(pid)
            for process in [*root.children(recursive=True), root]:
                process.kill()
        except psutil.Error:
            continue
