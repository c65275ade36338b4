"""Checkpoints are written beside the training, one at a time, and nothing that goes wrong there is lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from finetune_api.report import ExitCode
from finetune_api.run import RunConfig
from finetune_api.status import Adjustment
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.snapshot import Snapshot, Write
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.progress.history import History
from finetune_trainer.progress.recorder import Recorder
from finetune_trainer.progress.state import RunState
from finetune_trainer.storage.output import Output

RUN: dict[str, Any] = {"configDigest": "sha256:1", "jobUid": None}


def configure(**evaluation: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "file:///model"},
            "dataset": {"source": "file:///data", "train": {"split": "train"}, "evaluation": {"split": "test"}},
            "evaluation": {"metrics": ["f1"], "bestMetric": "f1", **evaluation},
            "checkpoints": {"keep": 1},
            "output": {"uri": "file:///out"},
        }
    )


class Run:
    """A recorder with all that it needs, in a folder."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.state = RunState()
        self.store = CheckpointStore(folder / "checkpoints", RUN, config.checkpoints.keep)
        self.store.find()
        history = History(folder / "history.jsonl")
        output, stop = Output(f"file://{folder}", folder), StopSignal(last_words=lambda: None)
        self.recorder = Recorder(config, output, self.store, history, self.state, stop)
        self.recorder.resume(self.store.newest)
        self.store.begin()
        history.begin()
        self.recorder.begin(self.store.newest.step if self.store.newest else 0, 100, 0.0, 800)

    @property
    def told(self) -> list[int]:
        return [checkpoint.step for checkpoint in self.state.current.checkpoints]

    def evaluate(self, step: int, f1: float) -> None:
        self.recorder.evaluated(step, float(step), {"eval_loss": 1.0, "eval_f1": f1})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, configure())


def write(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights")


def snapshot(step: int, write: Write = write) -> Snapshot:
    return Snapshot(step, float(step), write, copy=lambda: write)


def after(event: threading.Event) -> Write:
    def wait_and_write(folder: Path) -> None:
        assert event.wait(20)
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
    during = (run.recorder.saved_step, run.told, run.recorder.current_stage)
    disk.set()
    run.recorder.end()

    assert during == (1, [], "Training")
    assert run.told == [1]


def test_a_second_checkpoint_waits_for_the_first(run: Run) -> None:
    disk, copied = threading.Event(), threading.Event()

    def copy() -> Write:
        copied.set()
        return write

    run.recorder.save(snapshot(1, after(disk)))
    second = in_thread(lambda: run.recorder.save(Snapshot(2, 2.0, write, copy)))
    before = copied.wait(0.05)
    disk.set()
    second.join(20)
    run.recorder.end()

    assert (before, copied.is_set()) == (False, True)
    assert run.told == [2]


class Pair:
    """One of two processes, which wait for each other."""

    def __init__(self, barrier: threading.Barrier, main: bool) -> None:
        self._barrier = barrier
        self.main = main

    @contextmanager
    def together(self) -> Iterator[None]:
        yield
        self._barrier.wait(20)


def test_where_a_save_waits_all_processes_do(run: Run, tmp_path: Path) -> None:
    barrier, disk, waited = threading.Barrier(2), threading.Event(), threading.Event()
    other = Run(tmp_path / "other", configure())
    run.recorder._processes, other.recorder._processes = (cast(Any, Pair(barrier, main)) for main in (True, False))

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
        thread.join(20)
    run.recorder.end()

    assert (before, waited.is_set()) == (False, True)
    assert (run.told, other.told) == ([2], [])


def test_without_a_copy_the_training_waits(run: Run) -> None:
    run.recorder.save(Snapshot(1, 1.0, write))

    assert run.told == [1]


def test_a_step_is_saved_once(run: Run, tmp_path: Path) -> None:
    run.recorder.save(snapshot(1))
    run.recorder.end()
    run.recorder.save(snapshot(1, full))
    run.recorder.check_saved()

    again = Run(tmp_path, configure())
    again.recorder.save(snapshot(1, full))
    again.recorder.check_saved()

    assert again.told == [1]


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda run: run.recorder.step(2, 2.0), id="at the next step"),
        pytest.param(lambda run: run.recorder.save(snapshot(2)), id="at the next save"),
        pytest.param(lambda run: run.recorder.check_saved(), id="at the end"),
    ],
)
def test_a_save_that_fails_fails_the_run(run: Run, ask: Callable[[Run], None]) -> None:
    run.recorder.save(snapshot(1, full))
    run.recorder.end()

    with pytest.raises(TrainerError) as caught:
        ask(run)

    assert (caught.value.reason, caught.value.exit_code) == ("OutputFull", ExitCode.OUTPUT)
    assert run.told == []


def test_a_checkpoint_is_there_for_as_long_as_it_is_told(run: Run) -> None:
    present: list[tuple[list[int], bool]] = []
    original = run.state.set_checkpoints

    def set_checkpoints(*arguments: Any) -> None:
        before = run.told
        original(*arguments)
        present.append((before, all((run.store.folder / f"step-{step:06d}").exists() for step in before)))

    run.state.set_checkpoints = set_checkpoints  # type: ignore[method-assign]
    for step in range(1, 5):
        run.evaluate(step, f1=1.0 if step == 1 else 0.5)
        run.recorder.save(snapshot(step))
    run.recorder.end()
    run.store.close()

    assert all(there for _, there in present)
    assert run.told == [1, 4]
    assert sorted(path.name for path in run.store.folder.iterdir()) == ["step-000001", "step-000004"]


def test_an_evaluation_after_the_last_save_decides_too_which_checkpoints_stay(run: Run) -> None:
    for step, f1 in ((1, 0.5), (2, 0.9)):
        run.recorder.save(snapshot(step))
        run.recorder.check_saved()
        run.evaluate(step, f1)
    before = run.told

    run.recorder.rotate()
    run.store.close()

    assert (before, run.told) == ([1, 2], [2])
    assert [path.name for path in run.store.folder.iterdir()] == ["step-000002"]


def test_a_run_ends_where_patience_ends_and_so_does_every_later_attempt(tmp_path: Path) -> None:
    config = configure(patience=2)
    run = Run(tmp_path, config)
    for step, f1 in ((10, 0.5), (20, 0.83), (30, 0.83), (40, 0.7)):
        assert not run.recorder.is_over(step, 100)
        run.evaluate(step, f1)
        run.recorder.save(snapshot(step))
    run.recorder.end()
    run.store.close()

    again = Run(tmp_path, config)

    told = Adjustment(
        step=40,
        reason="EarlyStopping",
        message="eval_f1 has not become better than 0.83 of step 20 in 2 evaluations",
    )
    for attempt in (run, again):
        assert attempt.recorder.is_over(40, 100)
        assert attempt.state.current.adjustments == [told]
    progress = run.state.current.progress
    assert progress is not None
    assert (progress.step, progress.total_steps, progress.percent, progress.eta_seconds) == (40, 40, 100, 0)
    assert again.told == [20, 40]


def test_an_evaluation_after_the_newest_checkpoint_does_not_end_a_resumed_run(tmp_path: Path) -> None:
    config = configure(patience=1)
    killed = Run(tmp_path, config)
    killed.evaluate(10, 0.5)
    killed.recorder.save(snapshot(10))
    killed.recorder.end()
    killed.evaluate(20, 0.4)

    resumed = Run(tmp_path, config)

    assert killed.recorder.is_over(20, 100)
    assert not resumed.recorder.is_over(10, 100)
    assert resumed.state.current.adjustments == []


@pytest.mark.parametrize(
    ("tell", "problem"),
    [
        (lambda recorder: recorder.log(7, 0.7, {"loss": float("nan")}), "loss is nan at step 7"),
        (lambda recorder: recorder.log(7, 0.7, {"loss": 1.0, "grad_norm": float("inf")}), "grad_norm is inf at step 7"),
        (lambda recorder: recorder.evaluated(7, 0.7, {"eval_loss": float("nan")}), "eval_loss is nan at step 7"),
        (lambda recorder: recorder.check_finite(7, {"loss": float("-inf")}), "loss is -inf at step 7"),
    ],
)
def test_what_is_not_finite_ends_the_run_and_names_the_step(
    run: Run, tell: Callable[[Recorder], None], problem: str
) -> None:
    run.recorder.log(5, 0.5, {"loss": 1.0, "grad_norm": 1.0})

    with pytest.raises(TrainerError) as caught:
        tell(run.recorder)

    assert caught.value.exit_code == ExitCode.LOSS_NOT_FINITE
    assert caught.value.message == f"{problem}; the last finite one was seen at step 5"


def test_a_metric_that_is_not_finite_is_left_out(run: Run) -> None:
    run.recorder.evaluated(7, 0.7, {"eval_loss": 1.0, "eval_f1": float("nan")})

    assert run.recorder.history.evaluation_at(7) == {"eval_loss": 1.0}
    assert [metric.name for metric in run.state.current.metrics] == ["eval_loss"]
