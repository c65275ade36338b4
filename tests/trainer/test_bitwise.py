"""Under full_determinism a run that was stopped or killed ends bit for bit as one that nothing disturbed."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ExitCode
from finetune_trainer.progress.recorder import Recorder

Disturbance = Callable[[Path, pytest.MonkeyPatch], None]


@pytest.fixture
def restored_determinism() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module", params=["trainer", "pytorch"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def workers(request: pytest.FixtureRequest) -> int:
    """Processes that load batches; where there are any they stay for all epochs, as on a GPU by default."""
    number: int = request.param
    return number


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of a second run in a process do not leave by themselves, and torch waits 5 s for each."""
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)


@pytest.fixture(scope="module")
def whole(engine: str, workers: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of the run that nothing disturbed; the first test that needs it makes it."""
    return tmp_path_factory.mktemp(f"whole-{engine}-{workers}")


@pytest.fixture
def deterministic(settings: Settings, model: Path, tmp_path: Path, whole: Path, engine: str, workers: int) -> Settings:
    """24 steps of two batches with dropout, a save each 4 steps, and logs at other ones."""
    folder = whole.parent / f"{whole.name}-model"
    if not folder.exists():
        shutil.copytree(model, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.1}))
    arguments = {
        "full_determinism": True, "gradient_accumulation_steps": 2, "logging_steps": 3, "dataloader_num_workers": workers,
    }  # fmt: skip
    return settings | {
        "model": {"source": f"file://{folder}"},
        "training": settings["training"] | {"engine": engine, "batchSize": 4, "arguments": arguments},
        "evaluation": {"strategy": "steps", "steps": 4, "metrics": ["accuracy"]},
        "checkpoints": {"strategy": "steps", "steps": 4, "keep": 2},
    }


def stop_at(number: int) -> Disturbance:
    def arm(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        at_step(number, lambda recorder: os.kill(os.getpid(), signal.SIGTERM), monkeypatch)

    return arm


def kill_at(number: int) -> Disturbance:
    """The disk as it is at that moment, while nothing is being saved, is what the next attempt finds."""

    def arm(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def die(recorder: Recorder) -> None:
            recorder._checkpointing.wait()
            shutil.copytree(out, left := out.with_name("left"), ignore=shutil.ignore_patterns(".partial-*"))
            monkeypatch.setattr(Recorder, "end", lambda self: (shutil.rmtree(out), left.rename(out)))
            raise KeyboardInterrupt

        at_step(number, die, monkeypatch)

    return arm


def at_step(number: int, act: Callable[[Recorder], None], monkeypatch: pytest.MonkeyPatch) -> None:
    original = Recorder.step

    def step(self: Recorder, step: int, epoch: float) -> None:
        original(self, step, epoch)
        if step == number:
            act(self)

    monkeypatch.setattr(Recorder, "step", step)


def contents(out: Path) -> dict[str, Any]:
    """All that the run made and that tells of no time."""
    files = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.name in ("model.safetensors", "history.jsonl")
    }
    newest = out / "checkpoints" / "step-000024"
    states = {
        name: torch.load(newest / name, weights_only=False)
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")
    }
    # A library draws one of Python's own numbers when it is imported, which only the first run in a process does.
    del states["rng_state.pth"]["python"]
    return files | {name: json.dumps(plain(state)) for name, state in states.items()}


def plain(state: Any) -> Any:
    """Nested numbers; a float is written so that it is read back the same."""
    if hasattr(state, "tolist"):
        return state.tolist()
    if isinstance(state, dict):
        return {str(key): plain(value) for key, value in state.items()}
    return [plain(value) for value in state] if isinstance(state, list | tuple) else state


@pytest.mark.parametrize(
    ("workers", "disturb", "resumed_from"),
    [
        pytest.param(0, stop_at(5), 5, id="no workers-stopped between two logs"),
        pytest.param(0, stop_at(12), 12, id="no workers-stopped at the end of an epoch, before its evaluation"),
        pytest.param(0, kill_at(15), 12, id="no workers-killed"),
        pytest.param(2, kill_at(15), 12, id="two workers-killed", marks=pytest.mark.slow),
        pytest.param(2, stop_at(5), 5, id="two workers-stopped between two logs", marks=pytest.mark.slow),
        pytest.param(
            2, stop_at(12), 12, id="two workers-stopped at the end of an epoch, before its evaluation",
            marks=pytest.mark.slow,
        ),
    ],
    indirect=["workers"],
)  # fmt: skip
@pytest.mark.usefixtures("restored_determinism")
def test_a_resumed_run_equals_an_uninterrupted_one(
    deterministic: Settings, train: Train, tmp_path: Path, whole: Path, disturb: Disturbance, resumed_from: int
) -> None:
    if not (whole / "model").exists():
        assert train(deterministic | {"output": {"uri": f"file://{whole}"}}).code == 0
    with pytest.MonkeyPatch.context() as monkeypatch:
        disturb(tmp_path / "out", monkeypatch)
        if disturb.__qualname__.startswith("kill_at"):
            with pytest.raises(KeyboardInterrupt):
                train(deterministic)
        else:
            assert train(deterministic).code == ExitCode.STOPPED

    ended = train(deterministic)

    assert (ended.code, ended.final.resumed_from_step) == (0, resumed_from)
    assert contents(tmp_path / "out") == contents(whole)
