"""A run that is stopped or killed goes on where it was, and ends as if nothing had happened."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.trainer.tiny import Ended, Settings, Train

from finetune_api.report import ENV_TERMINATION_LOG, ExitCode, FinalReport
from finetune_trainer.engines.registry import ENGINES
from finetune_trainer.metrics.scores import ClassScores
from finetune_trainer.progress.recorder import Recorder
from finetune_trainer.progress.state import RunState


def outcome(out: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """The exported weights, and the history."""
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return (out / "model" / "model.safetensors").read_bytes(), history


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of the run that nothing disturbed; the first test that needs it makes it."""
    return tmp_path_factory.mktemp("whole")


def evaluations_and_steps(history: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], set[int]]:
    return [line for line in history if line["kind"] == "evaluation"], {line["step"] for line in history}


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def after_steps(monkeypatch: pytest.MonkeyPatch, done: Mapping[int, Callable[[], None]]) -> None:
    """Do each of these once the step of its number is over."""
    original = Recorder.step

    def step(self: Recorder, step: int, epoch: float) -> None:
        original(self, step, epoch)
        done.get(step, lambda: None)()

    monkeypatch.setattr(Recorder, "step", step)


def die() -> None:
    raise RuntimeError("it dies")


def at_step(number: int) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: after_steps(monkeypatch, {number: terminate})


def in_stage(wanted: str, times: int = 1) -> Callable[[pytest.MonkeyPatch], None]:
    def arm(monkeypatch: pytest.MonkeyPatch) -> None:
        original, seen = RunState.stage, []

        def stage(self: RunState, stage: Any, message: str | None = None) -> None:
            original(self, stage, message)
            if stage == wanted:
                seen.append(message)
                if len(seen) == times:
                    terminate()

        monkeypatch.setattr(RunState, "stage", stage)

    return arm


def no_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(self: ClassScores, predictions: object, references: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ClassScores, "add_batch", break_off)


def stopped(settings: Settings, train: Train, arm: Callable[[pytest.MonkeyPatch], None]) -> Ended:
    with pytest.MonkeyPatch.context() as monkeypatch:
        arm(monkeypatch)
        return train(settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arm", "saved"),
    [
        pytest.param(at_step(5), 5, id="within an epoch"),
        pytest.param(at_step(12), 12, id="at the last step of an epoch"),
        pytest.param(in_stage("Evaluating"), 12, id="in an evaluation"),
        pytest.param(in_stage("Saving"), 12, id="while saving"),
        pytest.param(at_step(24), 24, id="at the last step"),
        pytest.param(in_stage("Evaluating", times=2), 24, id="in the last evaluation"),
        pytest.param(in_stage("Exporting"), 24, id="while exporting"),
    ],
)
def test_a_stopped_run_saves_exits_143_and_ends_as_if_it_had_not_been_stopped(
    settings: Settings, train: Train, tmp_path: Path, whole: Path, arm: Callable[[pytest.MonkeyPatch], None], saved: int
) -> None:
    if not (whole / "model").exists():
        assert train(settings | {"output": {"uri": f"file://{whole}"}}).code == 0
    weights, history = outcome(whole)

    ended = stopped(settings, train, arm)
    assert (ended.code, ended.final.exit_code, ended.final.failure) == (ExitCode.STOPPED, ExitCode.STOPPED, None)
    assert ended.final.checkpoints[-1].step == saved
    assert not (tmp_path / "out" / "model").exists()

    resumed = train(settings)
    assert (resumed.code, resumed.final.resumed_from_step) == (0, saved)
    assert resumed.final.progress is not None
    assert (resumed.final.progress.step, resumed.final.progress.total_steps) == (24, 24)
    own_weights, own_history = outcome(tmp_path / "out")
    assert own_weights == weights
    assert evaluations_and_steps(own_history) == evaluations_and_steps(history)
    assert len({(line["kind"], line["step"]) for line in own_history}) == len(own_history)


def test_a_run_stopped_while_it_prepares_leaves_at_once(settings: Settings, train: Train, tmp_path: Path) -> None:
    ended = stopped(settings, train, in_stage("Preparing", times=2))

    assert (ended.code, ended.final.checkpoints, ended.final.failure) == (ExitCode.STOPPED, [], None)
    assert "stopped; nothing was trained yet" in ended.said


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_an_evaluation_that_breaks_the_run_costs_no_step(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    settings["training"]["engine"] = engine
    train(settings | {"output": {"uri": f"file://{tmp_path}/whole"}})

    broken = stopped(settings, train, no_evaluation)
    resumed = train(settings)

    assert [checkpoint.step for checkpoint in broken.final.checkpoints] == [12]
    assert (resumed.code, resumed.final.resumed_from_step) == (0, 12)
    (weights, history), (own_weights, own_history) = outcome(tmp_path / "whole"), outcome(tmp_path / "out")
    assert own_weights == weights
    assert evaluations_and_steps(own_history) == evaluations_and_steps(history)


@pytest.mark.slow
def test_a_stop_within_an_epoch_resumes_the_order_of_rows_also_with_accumulation(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    settings["training"]["arguments"] = {"gradient_accumulation_steps": 2, "lr_scheduler_type": "reduce_lr_on_plateau"}
    whole = settings | {"output": {"uri": f"file://{tmp_path}/whole"}}
    train(whole)

    stopped(settings, train, at_step(8))
    resumed = train(settings)

    assert resumed.final.resumed_from_step == 8
    assert outcome(tmp_path / "out")[0] == outcome(tmp_path / "whole")[0]


@pytest.mark.slow
def test_a_broken_newest_checkpoint_is_passed_over(settings: Settings, train: Train, tmp_path: Path) -> None:
    train(settings)
    weights, history = outcome(tmp_path / "out")
    newest = tmp_path / "out" / "checkpoints" / "step-000024"
    torn = (newest / "optimizer.pt").read_bytes()[:-1]
    (newest / "optimizer.pt").write_bytes(torn)

    again = train(settings)

    assert (again.code, again.final.resumed_from_step) == (0, 12)
    assert "checkpoint step-000024 is not used: optimizer.pt has another size" in again.said
    own_weights, own_history = outcome(tmp_path / "out")
    assert own_weights == weights
    assert evaluations_and_steps(own_history)[0] == evaluations_and_steps(history)[0]


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_a_loss_that_is_not_finite_is_never_saved(
    settings: Settings, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    module = importlib.import_module(ENGINES[engine].module)
    original, losses = module.share_of_step, []

    def share_of_step(*arguments: Any) -> Any:
        losses.append(original(*arguments))
        return losses[-1] * float("nan") if len(losses) > 8 else losses[-1]

    monkeypatch.setattr(module, "share_of_step", share_of_step)
    settings["training"]["engine"] = engine
    settings["training"]["arguments"] = {"logging_steps": 100}
    settings["checkpoints"] = {"strategy": "steps", "steps": 4}
    del settings["evaluation"]
    del settings["dataset"]["evaluation"]

    ended = train(settings)

    assert ended.final.failure is not None
    assert (ended.code, ended.final.failure.message) == (
        ExitCode.LOSS_NOT_FINITE,
        "loss is nan at step 12; the last finite one was seen at step 8",
    )
    assert [checkpoint.step for checkpoint in ended.final.checkpoints] == [4, 8]


def start(settings: Settings, folder: Path) -> subprocess.Popen[str]:
    YAML().dump(settings, folder / "run.yaml")
    environment = {**os.environ, ENV_TERMINATION_LOG: str(folder / "final")}
    command = [sys.executable, "-m", "finetune_trainer", "--config", str(folder / "run.yaml")]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_step(step: int, folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait for the checkpoint of this step, or for a later one: of all of them three are kept."""
    first = folder / "out" / "checkpoints" / f"step-{step:06}" / "manifest.json"
    while all(each < first for each in first.parents[1].glob("step-*/manifest.json")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


@pytest.mark.slow
def test_the_program_itself_survives_sigkill_and_answers_sigterm(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    settings["training"]["epochs"] = 50
    settings["checkpoints"] = {"strategy": "steps", "steps": 1}
    settings["evaluation"] = {}
    checkpoints = tmp_path / "out" / "checkpoints"

    killed = start(settings, tmp_path)
    wait_for_step(3, tmp_path, killed)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL

    terminated = start(settings, tmp_path)
    wait_for_step(10, tmp_path, terminated)
    terminated.send_signal(signal.SIGTERM)
    said = terminated.communicate()[1]

    final = FinalReport.model_validate_json((tmp_path / "final").read_text())
    assert (terminated.returncode, final.exit_code, final.failure) == (ExitCode.STOPPED, ExitCode.STOPPED, None)
    assert final.resumed_from_step >= 3
    newest = final.checkpoints[-1]
    assert f"stopped; the same command goes on from step {newest.step} ({newest.uri})" in said
    assert "Traceback" not in said
    assert sorted(path.name for path in checkpoints.iterdir()) == [
        f"step-{checkpoint.step:06d}" for checkpoint in final.checkpoints
    ]


@pytest.mark.slow
@pytest.mark.parametrize("saved", range(1, 6))
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_every_log_of_a_run_that_goes_on_is_that_of_one_that_was_never_killed(
    settings: Settings, train: Train, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, engine: str, saved: int
) -> None:
    settings |= {"checkpoints": {"strategy": "steps", "steps": 1}, "evaluation": {}}
    settings["dataset"] |= {"train": {"split": "train[:24]"}, "evaluation": None}
    settings["training"] |= {"engine": engine, "arguments": {"logging_steps": 2}}  # two epochs of three steps
    whole = tmp_path_factory.getbasetemp() / f"logs-{engine}"
    if not whole.exists():
        assert train(settings | {"output": {"uri": f"file://{whole}"}}).code == 0
    original = Recorder.step

    def step(self: Recorder, step: int, epoch: float) -> None:
        original(self, step, epoch)
        if step == saved + 1:
            self._checkpointing.wait()
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "step", step)
        with pytest.raises(KeyboardInterrupt):
            train(settings)

    resumed = train(settings)

    assert (resumed.code, resumed.final.resumed_from_step) == (0, saved)
    logs = outcome(tmp_path / "out")[1]
    assert [line["step"] for line in logs] == [2, 3, 4, 6]
    assert logs == outcome(whole)[1]
