"""The program itself with its watchdog, as in a pod."""

import re
import signal
from pathlib import Path

import psutil
import pytest
from tests.trainer.test_launching import final
from tests.trainer.test_stop_and_resume import start, wait_for
from tests.trainer.tiny import Settings

from finetune_api.report import ENV_PROGRESS_DEADLINE, ExitCode

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_PROGRESS_DEADLINE, "20")


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_one_of_two_processes_that_stops_ends_the_attempt_and_the_next_one_goes_on(
    settings: Settings, tmp_path: Path, engine: str
) -> None:
    settings["training"] |= {"engine": engine, "epochs": 2, "batchSize": 2}
    settings |= {"processesPerNode": 2, "checkpoints": {"strategy": "steps", "steps": 4}, "evaluation": {}}
    program = start(settings, tmp_path)
    wait_for(tmp_path / "out" / "checkpoints" / "step-000008", program)
    processes = psutil.Process(program.pid).children(recursive=True)
    ranks = {each.environ().get("RANK"): each for each in processes}

    ranks["1"].suspend()
    said = program.communicate()[1]

    word = final(tmp_path)
    assert (program.returncode, word.exit_code) == (ExitCode.STALLED, ExitCode.STALLED)
    assert word.failure is not None
    assert word.failure.message.endswith(
        "process 1 is stopped (by SIGSTOP, or by a debugger), and the others wait for it"
    )
    assert "process 0 (step" in (word.failure.log_tail or "")
    # Where in the step it waits, and so which of its frames fit, is by chance.
    assert re.search(r"\n  \S+\.py:\d+ in \w+", word.failure.log_tail or "")
    assert "Current thread" in said
    assert "the run has not moved for" in said
    _, left = psutil.wait_procs(processes, timeout=30)
    assert [each for each in left if each.status() != psutil.STATUS_ZOMBIE] == []

    program = start(settings, tmp_path)
    program.communicate()

    assert (program.returncode, final(tmp_path).resumed_from_step) in {(0, 8), (0, 12), (0, 16), (0, 20)}


def test_a_run_with_a_watchdog_trains_saves_and_stops_as_without(settings: Settings, tmp_path: Path) -> None:
    settings["training"]["epochs"] = 50
    settings |= {"checkpoints": {"strategy": "steps", "steps": 1}, "evaluation": {}}

    program = start(settings, tmp_path)
    wait_for(tmp_path / "out" / "checkpoints" / "step-000003", program)
    program.send_signal(signal.SIGTERM)
    said = program.communicate()[1]

    assert (program.returncode, final(tmp_path).exit_code) == (ExitCode.STOPPED, ExitCode.STOPPED)
    assert "stopped; the same command goes on from step" in said
    assert "Traceback" not in said
