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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

from finetune_api.reasons import Reason
from finetune_api.report import ENV_NODE_RANK, ENV_PROGRESS_DEADLINE, ExitCode, FinalReport
from finetune_api.status import MAX_LOG_TAIL, Failure
from finetune_api.values import MAX_MESSAGE
from finetune_trainer.base.heartbeat import ENV_HEARTBEATS, Beat, read_beats
from finetune_trainer.base.redaction import redact
from finetune_trainer.processes.child import read_final_report, write_final_report
from finetune_trainer.watchdog.activity import SLICE_SECONDS, Idleness, has_ended, is_stopped, sample
from finetune_trainer.watchdog.stacks import Stacks, collect, with_children
from finetune_trainer.watchdog.stall import SAID_AT, STOPPED_SECONDS, Watched, explain, is_stuck, silent_share, suspects

_POLL_SECONDS: Final = 1.0
_LONGEST_POLL_SECONDS: Final = 5.0
"""What takes longer is a machine that slept, or a container that was frozen: its processes were so as well."""
_OTHERS_SECONDS: Final = 60.0
"""For so long a machine whose processes wait for those of another leaves it to that one to end the run."""
_LOGGED_LETTERS: Final = 64 * 1024

logger = logging.getLogger(__name__)


def run_watched(main: Callable[[], int]) -> int:
    """Run `main` in a process of its own. Return its exit code; where it had to be ended STALLED, or how it was over already.

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
        self._launcher: Watched | None = None
        """The process that launched those that are there, and waits for their end."""
        self._unheard = Beat(child, 0, 0, "starting", 0, None, 0)
        """In place of the records, before there is any."""
        self._resumed_from = self._step = 0
        self._killed: set[int] = set()
        asked = os.environ.get(ENV_PROGRESS_DEADLINE, "")
        self._stopped_seconds = min(STOPPED_SECONDS, float(asked)) if asked.isdigit() else STOPPED_SECONDS
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
                self._pass_on(number)
                self._over = True  # it saves what it has, in the time that Kubernetes leaves
            self._signals.received.clear()
            end = None if self._over else self._end_of_a_stalled_run()
            if end is not None:
                return end

    def _pass_on(self, number: int) -> None:
        """Send the trainer a signal. What was stopped goes on with it: stopped, it could not save."""
        os.kill(self._child, number)
        for pid in {self._child, *self._seen}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _end_of_a_stalled_run(self) -> int | None:
        """The exit code of a run that did not move, and is ended; None while it may go on."""
        try:
            watched = self._look()
            if not self._is_stalled(watched):
                return None
            launcher = [self._launcher] if self._launcher is not None else []
            stacks = collect(self._folder, [each.beat.pid for each in [*watched, *launcher]])
            found = suspects(watched, stacks, self._launcher)
            if not self._is_ours(watched, found):
                return None
            return self._end(watched, found, stacks)
        except Exception:  # a fault of the watchdog is never worth a run
            logger.exception("the run is not watched any more")
            self._over = True
            return None

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
        """Return the processes that train, each with the time since its last move; where none is left, or is to go on, the one that launched them."""
        now = time.monotonic()
        passed = min(now - self._last_look, _LONGEST_POLL_SECONDS)
        self._last_look = now
        left = read_beats(self._folder)  # by those that have ended as well
        self._resumed_from = max((beat.resumed_from for beat in left), default=0)
        self._step = max((beat.step for beat in left), default=0)
        beats = [beat for beat in left if psutil.pid_exists(beat.pid)] or [self._unheard]
        self._seen = {beat.pid: self._update(beat, now, passed) for beat in beats}
        self._kill_failed()
        training = [each for each in self._seen.values() if not each.beat.launches]
        launcher = next((each for each in self._seen.values() if each.beat.launches), None)
        if launcher is None or (not launcher.beat.ends and any(not has_ended(each.beat.pid) for each in training)):
            self._launcher = launcher.watched() if launcher is not None else None
            return [each.watched() for each in training]
        self._launcher = None
        return [launcher.watched()]

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

    def _kill_failed(self) -> None:
        """Kill one of several processes that has reported how it failed, or that it stopped, and does not go away: by its end the launcher
        ends the others, and merges what they reported."""
        for pid, seen in self._seen.items():
            beat = seen.beat
            is_over = beat.ends and beat.seconds is not None and seen.silence >= beat.seconds
            if pid == self._child or pid in self._killed or beat.launches or beat.finished or not is_over:
                continue
            logger.warning("process %d has reported how it ended, and does not go away: it is killed", beat.rank)
            self._killed.add(pid)
            _kill([pid])
            self._seen[pid] = _Seen(beat)  # the launcher has as long to take it in

    def _is_stalled(self, watched: list[Watched]) -> bool:
        share = silent_share(watched, self._launcher, self._stopped_seconds)
        if share < SAID_AT:
            self._said, self._waits_for_others = False, 0.0
        elif not self._said:
            self._said = True
            silence = self._silence(watched)
            launcher = self._launcher if is_stuck(self._launcher) else None
            doing = (
                watched[0].beat.doing
                if launcher is None
                else f"its launcher {'is stopped' if launcher.stopped else 'hangs'}"
            )
            logger.warning(
                "the run has not moved for %.0f s after step %d (%s); it is ended at %.0f s",
                silence, self._step, doing, silence / share,
            )  # fmt: skip
        return share >= 1 and self._silence(watched) >= self._waits_for_others

    def _silence(self, watched: list[Watched]) -> float:
        """Return for how long nothing has moved, or the launcher has not."""
        launcher = self._launcher if is_stuck(self._launcher) else None
        alone = max(launcher.stopped, launcher.silence) if launcher is not None else 0.0
        return max(alone, min(each.silence for each in watched))

    def _is_ours(self, watched: list[Watched], found: list[Watched]) -> bool:
        """Return whether to end the run now, and not leave that to the machine for whose processes those of this one wait."""
        if found or self._waits_for_others:
            return True
        node = int(os.environ.get(ENV_NODE_RANK) or 0)
        self._waits_for_others = self._silence(watched) + _OTHERS_SECONDS * (1 if node == 0 else 2)
        return ENV_NODE_RANK not in os.environ

    def _end(self, watched: list[Watched], found: list[Watched], stacks: dict[int, Stacks]) -> int:
        """Log and report the stacks, and kill all that runs. Return how the run has ended."""
        for pid in [each.beat.pid for each in found[:1] if not each.beat.launches]:
            stacks[pid] = with_children(self._folder, pid, stacks[pid])
        message = redact(explain(watched, found, stacks, self._launcher, alone=ENV_NODE_RANK not in os.environ))
        ordered = [*found, *(each for each in watched if each not in found)]
        logger.error("error: %s", message)
        logger.error("%s", redact("\n".join(_whole(each, stacks) for each in ordered))[:_LOGGED_LETTERS])
        code = self._outcome()
        if code is None:
            code = ExitCode.STALLED
            failure = _failure(message, "\n".join(_short(each, stacks) for each in ordered))
            write_final_report(FinalReport(exit_code=code, failure=failure, resumed_from_step=self._resumed_from))
        else:
            logger.warning("the run was over: it ends with exit code %d", code)
        _kill({self._child, *(each.beat.pid for each in watched)})
        return code

    def _outcome(self) -> int | None:
        """How the run ended that only does not go away; None if it was not over."""
        final = read_final_report()
        if final is not None:
            return final.exit_code
        training = [beat for beat in read_beats(self._folder) if not beat.launches]
        if not training or not all(beat.finished for beat in training):
            return None
        write_final_report(FinalReport(exit_code=ExitCode.SUCCESS, resumed_from_step=self._resumed_from))
        return ExitCode.SUCCESS


def _failure(message: str, places: str) -> Failure:
    return Failure(
        reason=Reason.PROGRESS_STALLED,
        message=message[:MAX_MESSAGE],
        hint="the log has the stacks of all processes. If steps may rightly take as long, raise "
        "runPolicy.progressDeadlineSeconds",
        exit_code=ExitCode.STALLED,
        log_tail=redact(places)[:MAX_LOG_TAIL],
    )


def _name(process: Watched) -> str:
    return "the launcher" if process.beat.launches else f"process {process.beat.rank}"


def _whole(process: Watched, stacks: dict[int, Stacks]) -> str:
    state = stacks[process.beat.pid]
    children = (f"{child}:\n{child.stacks.text}" for child in state.children)
    return "\n".join([f"{_name(process)} {state.obstacle or 'is here:'}\n{state.text}", *children])


def _short(process: Watched, stacks: dict[int, Stacks]) -> str:
    state = stacks[process.beat.pid]
    head = f"{_name(process)} (step {process.beat.step}) {state.obstacle or 'is at'}"
    return "\n  ".join([head, *state.frames[:12], *map(str, state.children)])


def _kill(pids: Iterable[int]) -> None:
    """Kill these processes and all that they have started."""
    for pid in pids:
        try:
            root = psutil.Process(pid)
            for process in [*root.children(recursive=True), root]:
                process.kill()
        except psutil.Error:
            continue
