"""The program itself with its watchdog, as in a pod."""

import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from tests.trainer.test_launching import final
from tests.trainer.test_stop_and_resume import start, wait_for_step
from tests.trainer.tiny import Settings

from devcluster.testing.api import PATIENCE
from finetune_api.report import ENV_NODE_RANK, ENV_PROGRESS_DEADLINE, ENV_RENDEZVOUS, ENV_RUN_SECRET, ExitCode

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_PROGRESS_DEADLINE, "20")


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_one_of_two_processes_that_stops_ends_the_attempt_and_the_next_one_goes_on(
    settings: Settings, tmp_path: Path, engine: str
) -> None:
    settings["training"] |= {"engine": engine, "epochs": 10, "batchSize": 2}
    settings |= {"processesPerNode": 2, "checkpoints": {"strategy": "steps", "steps": 4}, "evaluation": {}}
    program = start(settings, tmp_path)
    wait_for_step(8, tmp_path, program)
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
    _, left = psutil.wait_procs(processes, timeout=PATIENCE)
    assert [each for each in left if each.status() != psutil.STATUS_ZOMBIE] == []

    program = start(settings, tmp_path)
    program.communicate()

    assert (program.returncode, final(tmp_path).resumed_from_step) in {(0, step) for step in range(8, 240, 4)}


def test_a_run_with_a_watchdog_trains_saves_and_stops_as_without(settings: Settings, tmp_path: Path) -> None:
    settings["training"]["epochs"] = 50
    settings |= {"checkpoints": {"strategy": "steps", "steps": 1}, "evaluation": {}}

    program = start(settings, tmp_path)
    wait_for_step(3, tmp_path, program)
    program.send_signal(signal.SIGTERM)
    said = program.communicate()[1]

    assert (program.returncode, final(tmp_path).exit_code) == (ExitCode.STOPPED, ExitCode.STOPPED)
    assert "stopped; the same command goes on from step" in said
    assert "Traceback" not in said


def launcher_of(program: subprocess.Popen[str]) -> psutil.Process:
    """The only child of a pod's first process."""
    while not (children := psutil.Process(program.pid).children()):
        assert program.poll() is None
    return children[0]


def nothing_is_left(processes: list[psutil.Process]) -> bool:
    _, left = psutil.wait_procs(processes, timeout=PATIENCE)
    return [each for each in left if each.status() != psutil.STATUS_ZOMBIE] == []


def test_a_launcher_that_is_stopped_ends_the_attempt_while_its_processes_train(
    settings: Settings, tmp_path: Path
) -> None:
    settings["training"] |= {"epochs": 2000, "batchSize": 2}
    settings |= {"processesPerNode": 2, "checkpoints": {"strategy": "steps", "steps": 4}, "evaluation": {}}
    program = start(settings, tmp_path)
    wait_for_step(8, tmp_path, program)
    processes = psutil.Process(program.pid).children(recursive=True)

    launcher_of(program).suspend()
    said = program.communicate()[1]

    word = final(tmp_path)
    assert (program.returncode, word.exit_code) == (ExitCode.STALLED, ExitCode.STALLED)
    assert word.failure is not None
    assert word.failure.message.startswith("the launcher of the training processes has been stopped for ")
    assert "(its launcher is stopped)" in said
    assert nothing_is_left(processes)


def test_a_launcher_that_is_stopped_before_its_processes_begin_ends_the_attempt(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_PROGRESS_DEADLINE, "3")
    program = start(settings | {"processesPerNode": 2}, tmp_path)

    launcher_of(program).suspend()
    program.communicate()

    word = final(tmp_path)
    assert (program.returncode, word.exit_code) == (ExitCode.STALLED, ExitCode.STALLED)
    assert word.failure is not None
    assert "is stopped (by SIGSTOP, or by a debugger)" in word.failure.message


@pytest.mark.parametrize("stopped", [0, 1])
def test_of_two_pods_the_one_whose_launcher_is_stopped_is_the_cause(
    settings: Settings, tmp_path: Path, stopped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["training"] |= {"epochs": 2000, "batchSize": 2}
    settings |= {"nodes": 2, "checkpoints": {"strategy": "steps", "steps": 4}, "evaluation": {}}
    (tmp_path / "secret").write_text("0123456789abcdef" * 4)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv(ENV_RENDEZVOUS, f"127.0.0.1:{port}")
    monkeypatch.setenv(ENV_RUN_SECRET, str(tmp_path / "secret"))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    pods = []
    for rank in range(2):
        monkeypatch.setenv(ENV_NODE_RANK, str(rank))
        (tmp_path / str(rank)).mkdir()
        pods.append(start(settings, tmp_path / str(rank)))
    wait_for_step(8, tmp_path, pods[0])
    processes = [each for pod in pods for each in psutil.Process(pod.pid).children(recursive=True)]

    launcher_of(pods[stopped]).suspend()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pod: pod.communicate(), pods))

    words = [final(tmp_path / str(rank)) for rank in range(2)]
    assert words[stopped].failure is not None
    assert words[stopped].failure.message.startswith("the launcher of the training processes has been stopped for ")
    expected = [ExitCode.PEER_LOST, ExitCode.PEER_LOST]
    expected[stopped] = ExitCode.STALLED
    assert [pod.returncode for pod in pods] == expected
    assert nothing_is_left(processes)


def customized(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let all Python processes run `code` as they begin. `hang` is what never returns."""
    (folder / "custom").mkdir()
    hang = "def hang(*_):\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()\n"
    modules = "import atexit, os, signal, threading\n"
    (folder / "custom" / "sitecustomize.py").write_text(f"{modules}{hang}{code}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder / "custom"))


def test_a_launcher_that_hangs_in_its_own_code_ends_the_attempt_with_its_stacks(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customized(tmp_path, monkeypatch, "signal.signal(signal.SIGUSR2, hang)")
    settings["training"] |= {"epochs": 2000, "batchSize": 2}
    settings |= {"processesPerNode": 2, "checkpoints": {"strategy": "steps", "steps": 4}, "evaluation": {}}
    program = start(settings, tmp_path)
    wait_for_step(8, tmp_path, program)
    processes = psutil.Process(program.pid).children(recursive=True)

    launcher_of(program).send_signal(signal.SIGUSR2)
    said = program.communicate()[1]

    word = final(tmp_path)
    assert (program.returncode, word.exit_code) == (ExitCode.STALLED, ExitCode.STALLED)
    assert word.failure is not None
    assert re.match(
        r"the launcher of the training processes has done nothing for \d+ s \(watching over its processes\), after step \d+: it "
        r"is at custom/sitecustomize.py:\d+ in hang",
        word.failure.message,
    )
    assert (word.failure.log_tail or "").startswith("the launcher (step 0) is at\n")
    assert "(its launcher hangs)" in said
    assert "Current thread" in said
    assert nothing_is_left(processes)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_finished_run_that_hangs_as_it_ends_has_succeeded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    # In the process that the watchdog started: it trains, or launches those that do.
    customized(tmp_path, monkeypatch, "os.register_at_fork(after_in_child=lambda: atexit.register(hang))")
    program = start(settings | {"processesPerNode": processes, "evaluation": {}}, tmp_path)

    said = program.communicate()[1]

    assert (program.returncode, final(tmp_path).exit_code) == (0, 0)
    assert final(tmp_path).model is not None
    assert "in hang" in said
    assert "the run was over: it ends with exit code 0" in said


def test_a_process_that_loads_data_and_is_stopped_ends_the_attempt_and_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    settings["training"] |= {"epochs": 2000, "batchSize": 2}
    settings["training"]["arguments"] = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True}
    settings |= {"checkpoints": {"strategy": "steps", "steps": 4}, "evaluation": {}}
    program = start(settings, tmp_path)
    wait_for_step(8, tmp_path, program)

    loader = launcher_of(program).children()[-1]
    loader.suspend()
    program.communicate()

    word = final(tmp_path)
    assert (program.returncode, word.exit_code) == (ExitCode.STALLED, ExitCode.STALLED)
    assert word.failure is not None
    assert word.failure.message.endswith(f"; its child process {loader.pid} is stopped (by SIGSTOP, or by a debugger)")
