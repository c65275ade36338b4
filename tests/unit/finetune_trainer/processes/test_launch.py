"""What several processes said and how they ended make one final report."""

import signal
import sys
from pathlib import Path

import pytest
import torch.distributed as dist
from torch.distributed.elastic.agent.server.api import WorkerSpec
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import SubprocessContext

from finetune_api.report import ENV_NODE_RANK, ENV_RENDEZVOUS, ExitCode, FinalReport
from finetune_api.run import SAVE_SECONDS, RunConfig
from finetune_api.status import Failure, Progress
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.processes.group import Processes, explain_loss, peer_lost
from finetune_trainer.processes.launch import Agent, ProcessExit, launch, log_failure, merge_final_reports
from finetune_trainer.processes.rendezvous import Rendezvous

PROGRESS = Progress(step=3, total_steps=9, epoch="0.33", percent=33)
LOST = Failure(reason="PeerLost", message="another process of the run was lost", exit_code=ExitCode.PEER_LOST)
NO_COLUMN = Failure(reason="ColumnMissing", message="no column text", hint="name it", exit_code=ExitCode.DATA)


def first(code: int, failure: Failure | None = None) -> FinalReport:
    return FinalReport(exit_code=code, failure=failure, progress=PROGRESS)


def other(code: int, failure: Failure | None = None) -> FinalReport:
    return FinalReport(exit_code=code, failure=failure)


def test_all_that_ended_well_are_a_success_with_the_state_of_the_first() -> None:
    assert merge_final_reports({1: other(0), 0: first(0)}, {}, stopped=False, lost=None, nodes=2) == first(0)


def test_the_cause_is_reported_with_the_state_of_the_first() -> None:
    reports = {0: first(ExitCode.PEER_LOST, LOST), 1: other(ExitCode.DATA, NO_COLUMN)}
    ends = {0: ProcessExit(ExitCode.PEER_LOST, 5.0), 1: ProcessExit(ExitCode.DATA, 4.0)}

    assert merge_final_reports(reports, ends, stopped=False, lost=None, nodes=2) == first(ExitCode.DATA, NO_COLUMN)


def test_a_process_that_was_killed_is_named_with_what_may_help() -> None:
    reports = {0: first(ExitCode.PEER_LOST, LOST)}

    final = merge_final_reports(
        reports, {0: ProcessExit(ExitCode.PEER_LOST, 5.0), 1: ProcessExit(-9, 5.0)}, stopped=False, lost=None, nodes=2
    )

    assert final == first(
        137,
        Failure(
            reason="ProcessKilled",
            message="process 1 was killed by SIGKILL",
            hint="the memory may not have sufficed: raise resources.memory (of a pod), or lower training.batchSize",
            exit_code=137,
        ),
    )


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (NO_COLUMN, ["error: no column text", "hint: name it"]),
        (Failure(reason="InternalError", message="KeyError: 3", log_tail="Traceback: KeyError: 3"), ["Traceback: KeyError: 3"]),
    ],
)  # fmt: skip
def test_what_another_process_failed_with_is_logged_whole_since_it_is_silent_itself(
    caplog: pytest.LogCaptureFixture, failure: Failure, told: list[str]
) -> None:
    reports = {0: first(ExitCode.PEER_LOST, LOST), 1: other(1, failure)}

    log_failure(reports, merge_final_reports(reports, {}, stopped=False, lost=None, nodes=2))
    log_failure({0: first(1, failure)}, first(1, failure))

    assert caplog.messages == told


def test_of_two_that_were_killed_the_earlier_one_counts() -> None:
    final = merge_final_reports(
        {}, {0: ProcessExit(-9, 40.0), 1: ProcessExit(-11, 10.0)}, stopped=False, lost=None, nodes=2
    )

    assert (final.exit_code, final.failure and final.failure.message) == (139, "process 1 was killed by SIGSEGV")


def test_one_that_ended_without_a_word_is_reported_with_its_exit_code() -> None:
    final = merge_final_reports({}, {1: ProcessExit(3, 1.0)}, stopped=False, lost=None, nodes=2)

    assert (final.exit_code, final.failure and final.failure.reason) == (3, "ProcessDied")


@pytest.mark.parametrize("told", [{0: first(ExitCode.STOPPED), 1: other(ExitCode.STOPPED)}, {0: first(0)}, {}])
def test_a_stop_is_no_failure_whoever_was_too_early_or_too_late_for_it(told: dict[int, FinalReport]) -> None:
    final = merge_final_reports(told, {1: ProcessExit(-15, 1.0)}, stopped=True, lost=None, nodes=2)

    assert (final.exit_code, final.failure) == (0 if told and told[0].exit_code == 0 else ExitCode.STOPPED, None)


def test_a_stop_on_another_machine_stops_this_one() -> None:
    reports = {2: other(ExitCode.STOPPED), 3: other(ExitCode.STOPPED)}

    assert merge_final_reports(reports, {}, stopped=False, lost=peer_lost("gone"), nodes=2) == other(ExitCode.STOPPED)


def test_a_loss_on_another_machine_is_a_lost_peer() -> None:
    error = peer_lost("the first machine of the run was lost")

    final = merge_final_reports({}, {}, stopped=False, lost=error, nodes=2)

    assert (final.exit_code, final.failure and final.failure.message) == (ExitCode.PEER_LOST, error.message)


def test_a_loss_on_the_only_machine_is_counted_since_nobody_else_is() -> None:
    final = merge_final_reports({0: first(ExitCode.PEER_LOST, LOST)}, {}, stopped=False, lost=None, nodes=1)

    assert (final.exit_code, final.failure and final.failure.exit_code) == (ExitCode.INTERNAL, ExitCode.INTERNAL)


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("[pair.cc:538] Connection closed by peer [10.0.0.7]:4711", True),
        ("NCCL error in: x.cpp:1, remote process exited or there was a network error, NCCL version 2.27", True),
        ("NCCL error in: x.cpp:1, unhandled system error (run with NCCL_DEBUG=INFO for details)", False),
        ("NCCL error in: x.cpp:1, invalid usage. Last error: Duplicate GPU detected : rank 1 and rank 0", False),
        ("gloo/transport/tcp/pair.cc:446] op.preamble.length <= op.nbytes. 128 vs 4", False),
    ],
)
def test_what_all_processes_would_say_in_each_attempt_is_no_lost_peer(said: str, lost: bool) -> None:
    assert (explain_loss(dist.DistBackendError(said)) is not None) == lost


@pytest.mark.parametrize(("rank", "code"), [("0", ExitCode.INTERNAL), ("1", ExitCode.PEER_LOST)])
def test_processes_that_cannot_even_meet_are_counted_once(
    monkeypatch: pytest.MonkeyPatch, rank: str, code: ExitCode
) -> None:
    def refuse(backend: str) -> None:
        raise RuntimeError("Gloo connectFullMesh failed with timed out connecting: SO_ERROR: Connection refused")

    for name, value in {"RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": rank}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dist, "init_process_group", refuse)

    with pytest.raises(TrainerError) as caught, Processes.joined(use_cpu=True):
        pass

    assert caught.value.exit_code == code


@pytest.mark.parametrize(
    ("meeting", "node"), [(None, "0"), ("first:29500", None), ("first", "0"), ("first:29500", "2"), ("first:x", "0")]
)
def test_machines_that_do_not_know_where_to_meet_are_a_mistake_in_the_configuration(
    monkeypatch: pytest.MonkeyPatch, meeting: str | None, node: str | None
) -> None:
    for name, value in ((ENV_RENDEZVOUS, meeting), (ENV_NODE_RANK, node)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    config = RunConfig.model_validate(
        {
            "task": "text-classification", "model": {"source": "org/name"}, "nodes": 2,
            "dataset": {"source": "org/data", "train": {"split": "train"}}, "output": {"uri": "file:///out"},
        }
    )  # fmt: skip

    with pytest.raises(TrainerError) as caught:
        launch(config, [], StopSignal(before_exit=lambda: None), lambda doing, takes, *, is_over=False: None)

    assert caught.value.exit_code == ExitCode.BAD_CONFIGURATION
    assert "2 machines must know where they meet" in caught.value.message


_FAILS_OR_WAITS = """
import os, time
time.sleep(600 if os.environ["RANK"] == "0" else 0)
raise SystemExit(3)
"""


def test_one_that_fails_leaves_the_others_the_time_to_save_and_the_launcher_says_so_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, float, bool]] = []
    seen: list[tuple[int, tuple[str, float, bool]]] = []
    close = SubprocessContext._close

    def note(context: SubprocessContext, death_sig: signal.Signals, timeout: int = 30) -> None:
        seen.append((timeout, told[-1]))
        close(context, death_sig, timeout)

    monkeypatch.setattr(SubprocessContext, "_close", note)
    meeting = Rendezvous("127.0.0.1", 0, node=0, nodes=1, timeout=60)
    spec = WorkerSpec(
        "trainer",
        2,
        meeting,
        entrypoint=sys.executable,
        args=("-c", _FAILS_OR_WAITS),
        max_restarts=0,
        monitor_interval=0.1,
    )
    hangup = signal.getsignal(signal.SIGHUP)
    try:
        Agent(
            spec,
            DefaultLogsSpecs(log_dir=str(tmp_path)),
            lambda doing, takes, *, is_over=False: told.append((doing, takes, is_over)),
        ).run()
    finally:
        signal.signal(signal.SIGHUP, hangup)

    doing = "stopping its processes"
    assert seen[0] == (SAVE_SECONDS, (doing, 2.0 * SAVE_SECONDS, True))
    assert seen[1:] == [(SAVE_SECONDS, (doing, 0.0, False))] * len(seen[1:])
