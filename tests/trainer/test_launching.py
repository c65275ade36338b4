"""The program itself, where the settings ask for two processes."""

import signal
from pathlib import Path

import psutil
import pytest
from tests.trainer.test_stop_and_resume import start, wait_for_step
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ExitCode, FinalReport


def final(folder: Path) -> FinalReport:
    return FinalReport.model_validate_json((folder / "final").read_text())


@pytest.mark.slow
def test_two_processes_are_started_watched_and_stopped_as_one_program(settings: Settings, tmp_path: Path) -> None:
    settings["training"] |= {"epochs": 100, "batchSize": 4, "arguments": {"dataloader_num_workers": 1}}
    settings |= {"processesPerNode": 2, "checkpoints": {"strategy": "steps", "steps": 1}, "evaluation": {}}
    checkpoints = tmp_path / "out" / "checkpoints"

    program = start(settings, tmp_path)
    wait_for_step(3, tmp_path, program)
    started = psutil.Process(program.pid).children()
    next(child for child in started if child.environ()["RANK"] == "1").kill()
    said = program.communicate()[1]

    assert program.returncode == 128 + signal.SIGKILL
    reached = max(int(path.name.removeprefix("step-")) for path in checkpoints.glob("step-*"))
    failure = final(tmp_path).failure
    assert failure
    assert (failure.reason, failure.exit_code) == ("ProcessKilled", 137)
    assert f"error: {failure.message}" in said

    program = start(settings, tmp_path)
    wait_for_step(reached + 2, tmp_path, program)
    program.send_signal(signal.SIGTERM)
    said = program.communicate()[1]

    word = final(tmp_path)
    assert (program.returncode, word.exit_code, word.failure) == (ExitCode.STOPPED, ExitCode.STOPPED, None)
    assert word.resumed_from_step >= 3
    assert f"stopped; the same command goes on from step {word.checkpoints[-1].step}" in said
    assert "Traceback" not in said
    assert not any(child.is_running() for child in started)


@pytest.mark.slow
def test_processes_do_not_outlive_the_program_that_started_them(settings: Settings, tmp_path: Path) -> None:
    settings["training"] |= {"epochs": 1000, "batchSize": 4}
    settings |= {"processesPerNode": 2, "checkpoints": {"strategy": "steps", "steps": 1}, "evaluation": {}}

    program = start(settings, tmp_path)
    wait_for_step(3, tmp_path, program)
    started = psutil.Process(program.pid).children()
    program.kill()
    gone, alive = psutil.wait_procs(started, timeout=60)
    program.communicate()

    assert (len(gone), alive) == (2, [])


def test_a_mistake_in_the_configuration_is_reported_before_any_process_is_started(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    settings["training"]["arguments"] = {"warmup_stepz": 3}

    ended = train(settings | {"processesPerNode": 2})

    assert (ended.code, ended.said.count("did you mean 'warmup_steps'?")) == (ExitCode.BAD_CONFIGURATION, 1)
