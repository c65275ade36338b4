"""Whether a run moves, and which of its processes is the cause if not. Pure: no file, no clock, no process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from finetune_trainer.base.heartbeat import Beat
from finetune_trainer.watchdog.stacks import Stacks

IDLE_SECONDS: Final = 1800.0
"""Of no sign of life in what has no usual length, such as loading, compiling, saving and exporting."""
STOPPED_SECONDS: Final = 120.0
"""Of a signal that stops a process, which does nothing until another one lets it go on."""
_NAMED: Final = 4
SAID_AT: Final = 0.5
"""Share of the silence that a run may keep, from which on it is said."""


@dataclass(frozen=True)
class Watched:
    """A process as it is now."""

    beat: Beat
    silence: float
    """Seconds since its last move."""
    idle: float
    """Seconds in which it, and what it has started, have hardly computed, read or received anything."""
    stopped: float = 0.0
    """Seconds for which it has been stopped by a signal."""

    def share(self) -> float:
        """How much of the silence that it may keep is over, from 0 to 1 and beyond."""
        if self.beat.seconds is not None:
            return self.silence / self.beat.seconds
        return min(self.silence, self.idle) / IDLE_SECONDS


def silent_share(
    processes: Sequence[Watched], launcher: Watched | None = None, stopped_seconds: float = STOPPED_SECONDS
) -> float:
    """Return how near a run is to having stalled, from 0 to 1 and beyond.

    Processes wait for each other: where one works, the others are silent and all is well. Where one has stalled, all are
    silent in the end. One without a limit that waits is not idle, so of those the longest counts.

    Args:
        launcher: The one that waits for the end of these. No work of theirs excuses that it is stopped, or hangs.
        stopped_seconds: How long one may be stopped by a signal, in what has no usual length.
    """
    limits = [each.beat.seconds for each in processes if each.beat.seconds is not None]
    stopped = launcher.stopped if launcher is not None else 0.0
    hung = launcher.share() if launcher is not None and launcher.beat.seconds is not None else 0.0
    if limits and len(limits) == len(processes):
        # What a launcher waits for is no reason to be stopped.
        alone = max((each.stopped / stopped_seconds for each in processes if each.beat.launches), default=0.0)
        return max(min(each.share() for each in processes), stopped / min(limits), hung, alone)
    others = [each for each in processes if each.beat.seconds is None]
    least = min((each.silence for each in processes), default=0.0)
    idle = min(max((each.share() for each in others), default=0.0), least / IDLE_SECONDS)
    halted = min(max((each.stopped for each in processes), default=0.0), least)
    return max(idle, max(halted, stopped) / stopped_seconds, hung)


def is_stuck(launcher: Watched | None) -> bool:
    """Return whether a launcher, whatever its processes do, is stopped or has not moved for long."""
    if launcher is None:
        return False
    return launcher.stopped > 0 or (launcher.beat.seconds is not None and launcher.share() >= SAID_AT)


def suspects(
    processes: Sequence[Watched], stacks: Mapping[int, Stacks], launcher: Watched | None = None
) -> list[Watched]:
    """Return those for which the others wait; none where all of this machine wait for those of another.

    Args:
        stacks: By pid.
        launcher: The one that waits for the end of these.
    """
    if launcher is not None and is_stuck(launcher):
        return [] if stacks[launcher.beat.pid].waits else [launcher]
    if len(processes) == 1 and not stacks[processes[0].beat.pid].waits:
        return list(processes)
    dead = [each for each in processes if stacks[each.beat.pid].obstacle]
    busy = [each for each in processes if not stacks[each.beat.pid].waits]
    behind = min((each.beat.step for each in busy), default=0)
    return dead or [each for each in busy if each.beat.step == behind]


def explain(
    processes: Sequence[Watched],
    found: Sequence[Watched],
    stacks: Mapping[int, Stacks],
    launcher: Watched | None = None,
    *,
    alone: bool = False,
) -> str:
    """Return in a sentence for how long and since when a run does not move, and where it stands.

    Args:
        alone: Whether no other machine trains with this one.
    """
    step = max(each.beat.step for each in processes)
    if launcher is not None and launcher.stopped:
        return (
            f"the launcher of the training processes has been stopped for {launcher.stopped:.0f} s (by SIGSTOP, or by a "
            f"debugger), after step {step}"
        )
    if launcher is not None and is_stuck(launcher):
        state = stacks[launcher.beat.pid]
        return (
            f"the launcher of the training processes has done nothing for {_duration(launcher.silence)} "
            f"({launcher.beat.doing}), after step {step}: it {state.obstacle or f'is at {state.place}'}"
        )
    first = min(processes, key=lambda each: each.silence)
    what = (
        f"the run has made no step for {first.silence:.0f} s after step {step}"
        if first.beat.seconds is not None and not (first.beat.launches or first.beat.ends)
        else f"the run has done nothing for {_duration(first.silence)} ({first.beat.doing})"
    )
    if not found and alone:
        places = (f"process {each.beat.rank} at {stacks[each.beat.pid].place}" for each in processes[:_NAMED])
        return f"{what}: its processes wait for each other, {', '.join(places)}"
    if not found:
        return f"{what}: the processes of this machine wait for those of another one"
    one = found[0]
    state = stacks[one.beat.pid]
    only = "the launcher" if one.beat.launches else "the process"
    who = f"process {one.beat.rank}" if len(processes) > 1 else only
    others = f", and {len(found) - 1} others do not move either" if len(found) > 1 else ""
    waiting = ", and the others wait for it" if len(processes) > len(found) == 1 else others
    children = "".join(f"; {child}" for child in state.children if child.stacks.obstacle)
    return f"{what}: {who} {state.obstacle or f'is at {state.place}'}{waiting}{children}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 2 * STOPPED_SECONDS else f"{seconds:.0f} s"
