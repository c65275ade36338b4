"""Checkpoints are written beside the training, one at a time, and nothing that goes wrong there is lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.finetune_trainer.progress.runs import Run, configure, snapshot, write

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.checkpoints.snapshot import Snapshot, Write


def after(event: threading.Event) -> Write:
    def wait_and_write(folder: Path) -> None:
        assert event.wait(60)
        write(folder)

    return wait_and_write


def full(folder: Path) -> None:
    (Path("/dev/full")).write_text("x")


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_training_goes_on_while_a_checkpoint_is_written(run: Run) -> None:
    disk = threading.Event()

    run.recorder.save(snapshot(1, after(disk)))
    run.recorder.step(2, 2.0)
    during = (run.recorder.is_saved(1), run.reported, run.state.current_stage)
    disk.set()
    run.recorder.end()

    assert during == (True, [], "Training")
    assert run.reported == [1]


def test_a_second_checkpoint_waits_for_the_first(run: Run) -> None:
    disk, copied = threading.Event(), threading.Event()

    def copy() -> Write:
        copied.set()
        return write

    run.recorder.save(snapshot(1, after(disk)))
    second = in_thread(lambda: run.recorder.save(Snapshot(2, 2.0, write, copy)))
    before = copied.wait(0.05)
    disk.set()
    second.join(60)
    run.recorder.end()

    assert (before, copied.is_set()) == (False, True)
    assert run.reported == [2]


class Pair:
    """One of two processes, which wait for each other."""

    def __init__(self, barrier: threading.Barrier, main: bool) -> None:
        self._barrier = barrier
        self.is_main = main

    @contextmanager
    def barrier(self) -> Iterator[None]:
        yield
        self._barrier.wait(60)


def test_where_a_save_waits_all_processes_do(run: Run, tmp_path: Path) -> None:
    barrier, disk, waited = threading.Barrier(2), threading.Event(), threading.Event()
    other = Run(tmp_path / "other", configure())
    run.checkpointing._processes, other.checkpointing._processes = (
        cast(Any, Pair(barrier, main)) for main in (True, False)
    )

    def save() -> None:
        other.recorder.save(snapshot(1))
        other.recorder.save(snapshot(2))
        waited.set()

    follower = in_thread(save)
    run.recorder.save(snapshot(1, after(disk)))
    main = in_thread(lambda: run.recorder.save(snapshot(2)))
    before = waited.wait(0.05)
    disk.set()
    for thread in (main, follower):
        thread.join(60)
    run.recorder.end()

    assert (before, waited.is_set()) == (False, True)
    assert (run.reported, other.reported) == ([2], [])


def test_without_a_copy_the_training_waits(run: Run) -> None:
    run.recorder.save(Snapshot(1, 1.0, write))

    assert run.reported == [1]


def test_a_step_is_saved_once(run: Run, tmp_path: Path) -> None:
    run.recorder.save(snapshot(1))
    run.recorder.end()
    run.recorder.save(snapshot(1, full))
    run.checkpointing.wait()

    again = Run(tmp_path, configure())
    again.recorder.save(snapshot(1, full))
    again.checkpointing.wait()

    assert again.reported == [1]


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda run: run.recorder.step(2, 2.0), id="at the next step"),
        pytest.param(lambda run: run.recorder.save(snapshot(2)), id="at the next save"),
        pytest.param(lambda run: run.checkpointing.wait(), id="at the end"),
    ],
)
def test_a_save_that_fails_fails_the_run(run: Run, ask: Callable[[Run], None]) -> None:
    run.recorder.save(snapshot(1, full))
    run.recorder.end()

    with pytest.raises(TrainerError) as caught:
        ask(run)

    assert (caught.value.reason, caught.value.exit_code) == ("OutputFull", ExitCode.OUTPUT)
    assert run.reported == []


def test_a_checkpoint_is_there_for_as_long_as_it_is_reported(run: Run) -> None:
    present: list[tuple[list[int], bool]] = []
    original = run.state.set_checkpoints

    def set_checkpoints(*arguments: Any) -> None:
        before = run.reported
        original(*arguments)
        present.append((before, all((run.store.folder / f"step-{step:06d}").exists() for step in before)))

    run.state.set_checkpoints = set_checkpoints  # type: ignore[method-assign]
    for step in range(1, 5):
        run.evaluate(step, f1=1.0 if step == 1 else 0.5)
        run.recorder.save(snapshot(step))
    run.recorder.end()
    run.store.close()

    assert all(there for _, there in present)
    assert run.reported == [1, 4]
    assert sorted(path.name for path in run.store.folder.iterdir()) == ["step-000001", "step-000004"]


def test_an_evaluation_after_the_last_save_decides_too_which_checkpoints_stay(run: Run) -> None:
    for step, f1 in ((1, 0.5), (2, 0.9)):
        run.recorder.save(snapshot(step))
        run.checkpointing.wait()
        run.evaluate(step, f1)
    before = run.reported

    run.checkpointing.rotate()
    run.store.close()

    assert (before, run.reported) == ([1, 2], [2])
    assert [path.name for path in run.store.folder.iterdir()] == ["step-000002"]
