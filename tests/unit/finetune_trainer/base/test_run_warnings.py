import logging

import pytest

from finetune_trainer.base.run_warnings import collected, warn
from finetune_trainer.progress.state import RunState


def test_a_warning_stands_in_the_log_and_in_the_state_once(caplog: pytest.LogCaptureFixture) -> None:
    state = RunState()

    with collected(state.add_warning):
        warn("EmptyTexts", "column 'text' has 2 empty texts")
        warn("EmptyTexts", "column 'text' has 2 empty texts")

    assert [(warning.reason, warning.message) for warning in state.current.warnings] == [
        ("EmptyTexts", "column 'text' has 2 empty texts")
    ]
    assert "column 'text' has 2 empty texts" in caplog.text


def test_what_is_logged_otherwise_is_no_warning_of_the_run() -> None:
    state = RunState()

    with collected(state.add_warning):
        logging.getLogger("finetune_trainer.checkpoints.store").warning("checkpoint step-000002 is not used")

    assert state.current.warnings == []


def test_warnings_beyond_what_the_api_takes_are_left_out() -> None:
    state = RunState()

    for number in range(40):
        state.add_warning("EmptyTexts", f"{number} " + "x" * 2000)

    report = state.report()
    assert [warning.message[:2].strip() for warning in report.warnings] == [str(number) for number in range(16)]
    assert {len(warning.message) for warning in report.warnings} == {512}
