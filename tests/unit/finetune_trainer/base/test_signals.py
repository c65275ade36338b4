"""What asks a run to stop, and what ends it at once."""

import signal
from collections.abc import Iterator

import pytest

from finetune_trainer.base.errors import Stopped
from finetune_trainer.base.signals import StopSignal

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    made = StopSignal(before_exit=lambda: pytest.fail("it ends at once"))
    made.listen()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_signal_stops_a_run(stop: StopSignal, number: signal.Signals) -> None:
    with pytest.raises(Stopped):
        signal.raise_signal(number)

    assert stop.requested


@pytest.mark.parametrize("first", NUMBERS)
def test_that_the_program_is_gone_that_started_a_run_hastens_no_save_that_goes_on(
    stop: StopSignal, first: signal.Signals
) -> None:
    with pytest.raises(Stopped):
        signal.raise_signal(first)

    signal.raise_signal(signal.SIGHUP)

    assert stop.requested


def test_another_signal_ends_it_at_once(stop: StopSignal) -> None:
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGHUP)

    with pytest.raises(pytest.fail.Exception, match="it ends at once"):
        signal.raise_signal(signal.SIGTERM)


def test_nothing_stops_a_run_that_is_over(stop: StopSignal) -> None:
    stop.ignore()

    for number in NUMBERS:
        signal.raise_signal(number)

    assert not stop.requested
