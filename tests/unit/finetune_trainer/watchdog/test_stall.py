"""Whether a run moves, and who is the cause if not."""

from dataclasses import replace

import pytest

from finetune_trainer.base.heartbeat import Beat
from finetune_trainer.watchdog.stacks import Stacks
from finetune_trainer.watchdog.stall import IDLE_SECONDS, Watched, explain, is_stuck, silent_share, suspects

WAITING = Stacks(
    'Current thread 0x1 (most recent call first):\n  File "/app/finetune_trainer/processes/group.py", line 9 in any\n',
    None,
)
READING = Stacks(
    'Thread 0x2 (most recent call first):\n  File "/lib/python3.11/threading.py", line 1 in wait\n'
    'Current thread 0x1 (most recent call first):\n  File "/usr/lib/site-packages/datasets/table.py", line 7 in read\n'
    '  File "/app/finetune_trainer/data/rows.py", line 8 in rows\n',
    None,
)
STOPPED = Stacks("", "is stopped (by SIGSTOP, or by a debugger)")


LAUNCHER = Beat(99, 0, 2, "watching over its processes", 0, None, 0, launches=True)


def training(rank: int, silence: float, step: int = 17) -> Watched:
    return Watched(Beat(100 + rank, rank, 5, "training", step, 120.0, 0), silence, 0.0)


def loading(rank: int, silence: float, idle: float, stopped: float = 0.0) -> Watched:
    return Watched(Beat(100 + rank, rank, 5, "loading the model", 0, None, 0), silence, idle, stopped)


@pytest.mark.parametrize(
    ("processes", "share"),
    [
        ([], 0.0),
        ([training(0, 60)], 0.5),
        ([training(0, 240), training(1, 12)], 0.1),
        ([loading(0, 10 * IDLE_SECONDS, 0)], 0.0),
        ([loading(0, IDLE_SECONDS, IDLE_SECONDS / 2)], 0.5),
        # The first loads while the second waits, and asks again and again whether it may go on.
        ([loading(0, IDLE_SECONDS, 0), loading(1, IDLE_SECONDS, 0)], 0.0),
        ([loading(0, 2 * IDLE_SECONDS, 2 * IDLE_SECONDS), loading(1, 2 * IDLE_SECONDS, 0)], 2.0),
        ([loading(0, 2 * IDLE_SECONDS, 2 * IDLE_SECONDS), loading(1, 0, 0)], 0.0),
        # Stopped while the other waits for it, at a barrier within a save for example.
        ([loading(0, 120, 0), loading(1, 120, 0, stopped=60)], 0.5),
        ([loading(0, 60, 0), loading(1, 240, 0, stopped=240)], 0.5),
        ([loading(0, 0, 0), loading(1, 240, 0, stopped=240)], 0.0),
        # The first exports while the second is not told to.
        ([loading(0, 200, 0), training(1, 200)], 0.0),
    ],
)
def test_a_run_moves_as_long_as_one_of_its_processes_does(processes: list[Watched], share: float) -> None:
    assert silent_share(processes) == share


@pytest.mark.parametrize(
    ("processes", "stopped", "share"),
    [
        # Those that train move on.
        ([training(0, 0)], 60, 0.5),
        ([training(0, 0), training(1, 0)], 0, 0.0),
        ([training(0, 90)], 60, 0.75),
        ([loading(0, 0, 0)], 30, 0.5),
        ([training(0, 0), loading(1, 0, 0)], 30, 0.5),
    ],
)
def test_no_work_of_others_excuses_a_launcher_that_is_stopped(
    processes: list[Watched], stopped: float, share: float
) -> None:
    assert silent_share(processes, Watched(LAUNCHER, 0, 0, stopped), stopped_seconds=60) == share


@pytest.mark.parametrize(
    ("processes", "silence", "share"),
    [
        ([training(0, 0), training(1, 0)], 90, 0.75),
        ([loading(0, 0, 0)], 60, 0.5),
        ([training(0, 90)], 0, 0.75),
    ],
)
def test_nor_one_that_hangs(processes: list[Watched], silence: float, share: float) -> None:
    watching = replace(LAUNCHER, seconds=120.0)

    assert silent_share(processes, Watched(watching, silence, 0)) == share
    assert is_stuck(Watched(watching, silence, 0)) is (silence >= 60)


def test_nor_is_one_excused_that_is_stopped_while_it_waits_for_other_machines() -> None:
    waiting = replace(LAUNCHER, seconds=420.0)

    assert silent_share([Watched(waiting, 60, 0, stopped=60)]) == 0.5
    assert silent_share([Watched(waiting, 60, 0)]) == 60 / 420


def test_what_a_launcher_loads_before_has_no_limit() -> None:
    assert silent_share([training(0, 0)], Watched(LAUNCHER, 10 * IDLE_SECONDS, 0)) == 0
    assert not is_stuck(Watched(LAUNCHER, 10 * IDLE_SECONDS, 0))


def test_a_launcher_that_hangs_is_the_cause_unless_it_waits_for_another_machine() -> None:
    launcher = Watched(replace(LAUNCHER, seconds=120.0), 130, 0)
    asking = Stacks(WAITING.text.replace("group.py", "rendezvous.py"), None)
    moving = [training(0, 0)]

    assert suspects(moving, {99: READING, 100: READING}, launcher) == [launcher]
    assert suspects(moving, {99: asking, 100: READING}, launcher) == []


@pytest.mark.parametrize(
    ("stacks", "steps", "ranks"),
    [
        ([READING], [17], [0]),
        ([WAITING, READING], [17, 17], [1]),
        ([WAITING, STOPPED], [17, 17], [1]),
        ([READING, STOPPED], [17, 17], [1]),
        ([READING, READING], [17, 16], [1]),
        ([READING, READING], [17, 17], [0, 1]),
        ([WAITING, WAITING], [17, 17], []),
    ],
)
def test_those_that_do_not_wait_for_others_are_the_cause(
    stacks: list[Stacks], steps: list[int], ranks: list[int]
) -> None:
    processes = [training(rank, 130, step) for rank, step in enumerate(steps)]

    found = suspects(processes, {100 + rank: each for rank, each in enumerate(stacks)})

    assert [each.beat.rank for each in found] == ranks


def test_the_explanation_names_time_step_process_and_place() -> None:
    both = [training(0, 131), training(1, 130)]
    stacks = {100: WAITING, 101: READING}

    assert explain(both, suspects(both, stacks), stacks) == (
        "the run has made no step for 130 s after step 17: process 1 is at datasets/table.py:7 in read < "
        "data/rows.py:8 in rows, and the others wait for it"
    )
    assert explain(both, [], stacks, Watched(LAUNCHER, 0, 0, 121)) == (
        "the launcher of the training processes has been stopped for 121 s (by SIGSTOP, or by a debugger), after step 17"
    )
    assert explain(both, both[:1], stacks, Watched(LAUNCHER, 0, 0)).endswith(
        "process 0 is at processes/group.py:9 in any, and the others wait for it"
    )
    alone = [loading(0, 1900, 1860)]
    assert explain(alone, alone, {100: STOPPED}) == (
        "the run has done nothing for 32 min (loading the model): the process is stopped (by SIGSTOP, or by a debugger)"
    )
    assert explain(both, [], {100: WAITING, 101: WAITING}, alone=True) == (
        "the run has made no step for 130 s after step 17: its processes wait for each other, process 0 at processes/group.py:9 "
        "in any, process 1 at processes/group.py:9 in any"
    )
    assert explain(both, [], {100: WAITING, 101: WAITING}) == (
        "the run has made no step for 130 s after step 17: the processes of this machine wait for those of another one"
    )
