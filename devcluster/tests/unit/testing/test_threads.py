import logging
import threading
from collections.abc import Iterator

import pytest

from devcluster.testing import threads
from devcluster.testing.api import wait_for


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The session hears nothing of threads that end here, which are meant to."""
    monkeypatch.setattr(threading, "excepthook", lambda end: None)
    threads.note_ends()
    yield
    threads.forget_ends()


def test_who_waits_for_what_a_thread_would_have_done_learns_at_once_what_ended_it(untold: None) -> None:
    error = KeyError("status")

    def work() -> None:
        raise error

    threading.Thread(target=work).start()

    with pytest.raises(AssertionError, match=r"beside the test: KeyError\('status'\)") as raised:
        wait_for(lambda: False, bool, "what never comes")
    assert raised.value.__cause__ is error


def test_what_ended_a_thread_of_one_test_is_nothing_to_the_next(untold: None) -> None:
    thread = threading.Thread(target=lambda: {}["status"])
    thread.start()
    thread.join()

    threads.forget_ends()

    threads.raise_end()


def test_a_logger_that_a_thread_makes_while_all_are_looked_through_disturbs_nobody() -> None:
    loggers = logging.root.manager.loggerDict
    logging.getLogger("tests.there.already")

    for number, _ in enumerate(loggers.values()):
        if number == 0:
            logging.getLogger("tests.made.meanwhile")

    assert {"tests.there.already", "tests.made.meanwhile"} <= loggers.keys()
