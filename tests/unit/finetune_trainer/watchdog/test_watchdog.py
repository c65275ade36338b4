"""The watchdog, over runs of tiny processes."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from finetune_api.reasons import Reason
from finetune_api.report import ENV_PROGRESS_DEADLINE, ENV_TERMINATION_LOG, ExitCode, FinalReport

TINY_RUN = Path(__file__).with_name("tiny_run.py")


class Watched:
    """A tiny run with its watchdog."""

    def __init__(self, folder: Path, *endings: str, **environment: str) -> None:
        self._final = folder / "final"
        self._log = folder / "log"
        variables = {ENV_PROGRESS_DEADLINE: "1", ENV_TERMINATION_LOG: str(self._final), "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, TINY_RUN, *endings],
            env={"PATH": "", **variables, **environment},
            stdout=subprocess.PIPE,
            stderr=self._log.open("wb"),
            text=True,
        )

    def end(self) -> tuple[int, FinalReport | None, str]:
        """Return exit code, final report and log."""
        code = self.process.wait()
        final = FinalReport.model_validate_json(self._final.read_bytes()) if self._final.exists() else None
        return code, final, self._log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "where"),
    [
        ("sleep", "the process is at watchdog/tiny_run.py:"),
        ("hold_the_lock", "the process is at watchdog/tiny_run.py:"),
        ("stop", "the process is stopped (by SIGSTOP, or by a debugger)"),
    ],
)
def test_a_run_that_makes_no_step_ends_with_the_place_where_it_is(tmp_path: Path, ending: str, where: str) -> None:
    code, final, log = Watched(tmp_path, ending).end()

    assert (code, final is not None and final.exit_code) == (ExitCode.STALLED, ExitCode.STALLED)
    assert final is not None
    assert final.failure is not None
    assert (final.resumed_from_step, final.failure.reason) == (10, Reason.PROGRESS_STALLED)
    assert "after step 17: " + where in final.failure.message
    assert "process 0 (step 17)" in (final.failure.log_tail or "")
    assert final.failure.message in log
    if ending != "stop":
        assert f"in {ending}" in (final.failure.log_tail or "")
        assert 'tiny_run.py", line' in log


@pytest.mark.slow
def test_of_the_processes_that_one_has_forked_it_is_said_where_they_are(tmp_path: Path) -> None:
    code, final, log = Watched(tmp_path, "wait_for_a_loader").end()

    assert code == ExitCode.STALLED
    assert final is not None
    assert final.failure is not None
    child = r"; its child process \d+ is stopped \(by SIGSTOP, or by a debugger\)$"
    assert re.search(child, final.failure.message)
    assert re.search(r"\n  its child process \d+ is at watchdog/tiny_run.py:\d+ in sleep", final.failure.log_tail or "")
    assert log.count("in wait_for_a_loader") >= 2


@pytest.mark.slow
def test_of_two_processes_the_one_for_which_the_other_waits_is_named(tmp_path: Path) -> None:
    run = Watched(tmp_path, "wait_for_the_others", "stop")
    code, final, log = run.end()

    assert code == ExitCode.STALLED
    assert final is not None
    assert final.failure is not None
    assert final.failure.message.endswith(
        "process 1 is stopped (by SIGSTOP, or by a debugger), and the others wait for it"
    )
    assert final.failure.log_tail is not None
    assert final.failure.log_tail.index("process 1") < final.failure.log_tail.index("process 0")
    assert "in wait_for_the_others" in log
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in (each.info["cmdline"] or [])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("endings", "message"),
    [
        (
            ["launch", "stop_the_launcher_and_train_on", "save"],
            "the launcher of the training processes has been stopped for ",
        ),
        (["launch", "stop_the_launcher_and_train_on"], "the launcher of the training processes has been stopped for "),
        (["launch", "stop_the_launcher_and_export"], "the launcher of the training processes has been stopped for "),
        (["launch", "stop_the_launcher_and_end"], "(watching over its processes): the launcher is stopped (by SIGSTOP"),
        (["stop_and_begin", "sleep"], "(starting): the process is stopped (by SIGSTOP"),
        (["stop_and_launch", "sleep"], "(watching over its processes): the launcher is stopped (by SIGSTOP"),
    ],
)
def test_a_launcher_that_is_stopped_is_found_whatever_its_processes_do(
    tmp_path: Path, endings: list[str], message: str
) -> None:
    code, final, log = Watched(tmp_path, *endings).end()

    assert (code, final is not None and final.exit_code) == (ExitCode.STALLED, ExitCode.STALLED)
    assert final is not None
    assert final.failure is not None
    assert message in final.failure.message
    assert final.failure.message in log
    assert "the run has not moved for" in log
    assert final.resumed_from_step == (10 if endings[0] == "launch" else 0)
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in (each.info["cmdline"] or [])]


@pytest.mark.slow
def test_processes_that_are_ended_since_another_has_failed_are_no_stall(tmp_path: Path) -> None:
    code, final, log = Watched(tmp_path, "launch_until_one_ends", "wait_for_the_others", "fail").end()

    assert (code, final, log) == (3, None, "")


@pytest.mark.slow
def test_a_launcher_waits_for_its_processes_as_long_as_they_work(tmp_path: Path) -> None:
    code, final, log = Watched(tmp_path, "launch", "save_for_long", "save", **{ENV_PROGRESS_DEADLINE: "5"}).end()

    assert (code, final, log) == (0, None, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("endings", "message"),
    [
        (
            ["launch_and_hang", "train_on", "save_for_long"],
            r"the launcher of the training processes has done nothing for \d+ s \(watching over its processes\), after step \d+: "
            r"it is at watchdog/tiny_run.py:\d+ in deadlock",
        ),
        (
            ["launch_and_hang_at_the_end", "end"],
            r"the run has done nothing for \d+ s \(ending\): the launcher is at watchdog/",
        ),
    ],
    ids=["while its processes train", "once they have ended"],
)
def test_a_launcher_that_hangs_in_its_own_code_is_found_with_the_place_where_it_is(
    tmp_path: Path, endings: list[str], message: str
) -> None:
    code, final, log = Watched(tmp_path, *endings).end()

    assert (code, final is not None and final.exit_code) == (ExitCode.STALLED, ExitCode.STALLED)
    assert final is not None
    assert final.failure is not None
    assert re.match(message, final.failure.message)
    assert (final.failure.log_tail or "").startswith("the launcher (step ")
    assert "in deadlock" in (final.failure.log_tail or "")
    assert final.failure.message in log
    assert "Current thread" in log
    assert final.resumed_from_step == 10
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in (each.info["cmdline"] or [])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("endings", "expected"),
    [
        (["finish_and_hang"], ExitCode.SUCCESS),
        (["launch", "finish_and_hang", "finish"], ExitCode.SUCCESS),
        (["launch_and_hang_at_the_end", "finish", "finish"], ExitCode.SUCCESS),
        (["fail_and_hang"], ExitCode.DATA),
        (["launch_and_hang_at_the_end", "finish", "end"], ExitCode.STALLED),
    ],
)
def test_a_run_that_is_over_and_hangs_ends_as_it_was_over(
    tmp_path: Path, endings: list[str], expected: ExitCode
) -> None:
    code, final, log = Watched(tmp_path, *endings).end()

    assert (code, final is not None and final.exit_code) == (expected, expected)
    assert "in deadlock" in log
    assert ("the run was over" in log) is (expected != ExitCode.STALLED)


@pytest.mark.slow
@pytest.mark.parametrize("other", ["wait_for_the_others", "save"])
def test_one_of_several_that_has_reported_its_failure_and_hangs_fails_the_run_by_that(
    tmp_path: Path, other: str
) -> None:
    code, final, log = Watched(tmp_path, "launch_until_one_ends", other, "fail_and_hang").end()

    assert (code, final) == (ExitCode.DATA, FinalReport(exit_code=ExitCode.DATA))
    assert "process 1 has reported how it ended, and does not go away: it is killed" in log
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in (each.info["cmdline"] or [])]


@pytest.mark.slow
def test_one_of_several_that_has_finished_and_hangs_ends_no_work_of_the_others(tmp_path: Path) -> None:
    code, final, log = Watched(tmp_path, "launch", "save", "finish_and_hang").end()

    assert (code, final is not None and final.exit_code) == (ExitCode.STALLED, ExitCode.STALLED)
    assert "it is killed" not in log


@pytest.mark.thorough
def test_a_launcher_that_is_stopped_passes_a_stop_on_all_the_same(tmp_path: Path) -> None:
    run = Watched(tmp_path, "launch", "stop_the_launcher_until_told_to_save", **{ENV_PROGRESS_DEADLINE: "auto"})
    assert run.process.stdout is not None
    run.process.stdout.readline()

    run.process.send_signal(signal.SIGTERM)
    code, final, _ = run.end()

    assert (code, final) == (143, None)


@pytest.mark.slow
def test_a_save_has_no_limit(tmp_path: Path) -> None:
    code, final, log = Watched(tmp_path, "save").end()

    assert (code, final, log) == (0, None, "")


@pytest.mark.thorough
def test_a_stop_is_passed_on_and_the_exit_code_comes_back(tmp_path: Path) -> None:
    run = Watched(tmp_path, "leave")
    assert run.process.stdout is not None
    run.process.stdout.readline()

    run.process.send_signal(signal.SIGTERM)
    code, final, _ = run.end()

    assert (code, final) == (143, None)


@pytest.mark.thorough
def test_a_process_that_is_killed_ends_the_watchdog_as_a_shell_would(tmp_path: Path) -> None:
    code, final, _ = Watched(tmp_path, "die").end()

    assert (code, final) == (137, None)


@pytest.mark.thorough
def test_nothing_is_left_of_a_run_whose_watchdog_is_killed(tmp_path: Path) -> None:
    run = Watched(tmp_path, "leave")
    assert run.process.stdout is not None
    run.process.stdout.readline()
    (child,) = psutil.Process(run.process.pid).children()

    run.process.kill()
    run.process.wait()

    child.wait(timeout=60)
