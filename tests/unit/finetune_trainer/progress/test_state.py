"""The state that reports and the final report hold."""

import threading
from typing import Any

import pytest

from finetune_api.report import FinalReport, Report, TrainerState
from finetune_api.status import MetricValue, Progress
from finetune_trainer.progress.state import RunState, format_epoch, format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5e-5, "0.00005"),
        (1.2034, "1.2034"),
        (0.1234567, "0.123457"),
        (1e-7, "0.0000001"),
        (1234567.0, "1234570"),
        (0.0, "0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (1e-30, "1e-30"),
    ],
)
def test_numbers_are_written_as_people_write_them(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(("epoch", "text"), [(1.0, "1.0"), (1.118, "1.12"), (2.5, "2.5"), (0.0, "0.0")])
def test_epochs_have_at_most_two_decimals(epoch: float, text: str) -> None:
    assert format_epoch(epoch) == text


def test_a_report_holds_the_whole_state_and_counts_up() -> None:
    state = RunState()
    state.set_progress(Progress(step=1, total_steps=4, percent=25))
    state.set_metrics({"loss": 0.7, "learning_rate": 5e-5})
    state.set_metrics({"loss": 0.5})
    state.stage("Training", "a step")

    first, second = state.report(), state.report()

    assert first == Report(
        sequence=1,
        stage="Training",
        message="a step",
        progress=Progress(step=1, total_steps=4, percent=25),
        metrics=[MetricValue(name="loss", value="0.5"), MetricValue(name="learning_rate", value="0.00005")],
    )
    assert second == first.model_copy(update={"sequence": 2})


def test_the_final_report_of_a_signal_does_not_wait_for_the_update_that_it_came_into() -> None:
    class Interrupted(TrainerState):
        def model_copy(self, *arguments: Any, **options: Any) -> Any:
            words.append(state.final(143, None))  # as a signal handler does, in the same thread
            return super().model_copy(*arguments, **options)

    state, words = RunState(), list[FinalReport]()
    state._state = Interrupted()

    update = threading.Thread(target=state.set_metrics, args=({"loss": 0.5},), daemon=True)
    update.start()
    update.join(60)

    assert [word.exit_code for word in words] == [143]
    assert state.current.metrics == [MetricValue(name="loss", value="0.5")]
