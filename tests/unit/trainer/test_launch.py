"""What several processes said and how they ended make one final word."""

import pytest

from finetune_api.report import ENV_NODE_RANK, ENV_RENDEZVOUS, ExitCode, FinalReport
from finetune_api.run import RunConfig
from finetune_api.status import Failure, Progress
from finetune_trainer.failures import TrainerError
from finetune_trainer.processes.group import peer_lost
from finetune_trainer.processes.launch import End, launch, verdict

PROGRESS = Progress(step=3, total_steps=9, epoch="0.33", percent=33)
LOST = Failure(reason="PeerLost", message="another process of the run was lost", exit_code=ExitCode.PEER_LOST)
NO_COLUMN = Failure(reason="ColumnMissing", message="no column text", hint="name it", exit_code=ExitCode.DATA)


def first(code: int, failure: Failure | None = None) -> FinalReport:
    return FinalReport(exit_code=code, failure=failure, progress=PROGRESS)


def other(code: int, failure: Failure | None = None) -> FinalReport:
    return FinalReport(exit_code=code, failure=failure)


def test_all_that_ended_well_are_a_success_with_the_state_of_the_first() -> None:
    assert verdict({1: other(0), 0: first(0)}, {}, stopped=False, lost=None) == first(0)


def test_the_cause_is_told_with_the_state_of_the_first() -> None:
    words = {0: first(ExitCode.PEER_LOST, LOST), 1: other(ExitCode.DATA, NO_COLUMN)}
    ends = {0: End(ExitCode.PEER_LOST, 5.0), 1: End(ExitCode.DATA, 4.0)}

    assert verdict(words, ends, stopped=False, lost=None) == first(ExitCode.DATA, NO_COLUMN)


def test_a_process_that_was_killed_is_named_with_what_may_help() -> None:
    words = {0: first(ExitCode.PEER_LOST, LOST)}

    final = verdict(words, {0: End(ExitCode.PEER_LOST, 5.0), 1: End(-9, 5.0)}, stopped=False, lost=None)

    assert final == first(
        137,
        Failure(
            reason="ProcessKilled",
            message="process 1 was killed by SIGKILL",
            hint="the memory may not have sufficed: raise resources.memory, or lower training.batchSize",
            exit_code=137,
        ),
    )


def test_of_two_that_were_killed_the_earlier_one_counts() -> None:
    final = verdict({}, {0: End(-9, 40.0), 1: End(-11, 10.0)}, stopped=False, lost=None)

    assert (final.exit_code, final.failure and final.failure.message) == (139, "process 1 was killed by SIGSEGV")


def test_one_that_ended_without_a_word_is_told_with_its_exit_code() -> None:
    final = verdict({}, {1: End(3, 1.0)}, stopped=False, lost=None)

    assert (final.exit_code, final.failure and final.failure.reason) == (3, "ProcessDied")


@pytest.mark.parametrize("told", [{0: first(ExitCode.STOPPED), 1: other(ExitCode.STOPPED)}, {0: first(0)}, {}])
def test_a_stop_is_no_failure_whoever_was_too_early_or_too_late_for_it(told: dict[int, FinalReport]) -> None:
    final = verdict(told, {1: End(-15, 1.0)}, stopped=True, lost=None)

    assert (final.exit_code, final.failure) == (0 if told and told[0].exit_code == 0 else ExitCode.STOPPED, None)


def test_a_stop_on_another_machine_stops_this_one() -> None:
    words = {2: other(ExitCode.STOPPED), 3: other(ExitCode.STOPPED)}

    assert verdict(words, {}, stopped=False, lost=peer_lost("gone")) == other(ExitCode.STOPPED)


def test_a_loss_on_another_machine_is_a_lost_peer() -> None:
    error = peer_lost("the first machine of the run was lost")

    final = verdict({}, {}, stopped=False, lost=error)

    assert (final.exit_code, final.failure and final.failure.message) == (ExitCode.PEER_LOST, error.message)


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
        launch(config, [])

    assert caught.value.exit_code == ExitCode.BAD_CONFIGURATION
    assert "2 machines must know where they meet" in caught.value.message
