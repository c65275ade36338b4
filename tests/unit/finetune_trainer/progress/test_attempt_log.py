"""The log of an attempt at its output."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.base.errors import output_error
from finetune_trainer.base.redaction import guard_logs, redact
from finetune_trainer.progress import attempt_log
from finetune_trainer.progress.attempt_log import MOST_BYTES, AttemptLog, LogText
from finetune_trainer.storage.local_output import LocalOutput

logger = logging.getLogger("finetune_trainer.test_attempt_log")


@pytest.fixture
def output(tmp_path: Path) -> LocalOutput:
    output = LocalOutput(f"file://{tmp_path}/out", tmp_path / "out")
    output.probe()
    return output


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> AttemptLog:
    monkeypatch.setattr(attempt_log.socket, "gethostname", lambda: "yelp-stars-x7.k2p_q")
    logger.setLevel(logging.INFO)
    return AttemptLog()


def stored(output: LocalOutput, log: AttemptLog) -> str:
    return (output.logs / log.name).read_text(encoding="utf-8")


def test_what_was_logged_before_there_was_an_output_and_after_is_there_at_the_end(
    log: AttemptLog, output: LocalOutput
) -> None:
    arrived: list[str] = []
    with log.listening():
        logger.info("loading %s", "bert")
        log.keep_in(output, arrived.append)
        log.write("40%|####      | 4/10")
        logger.warning("two\nlines")
        log.finish()
    logger.info("not of this attempt")

    assert stored(output, log) == "loading bert\n40%|####      | 4/10\ntwo\nlines\n"
    assert arrived[-1] == f"{output.uri}/logs/{log.name}"
    assert log.name.endswith("Z-yelp-stars-x7.k2p-q.log")


def test_two_attempts_within_a_second_on_one_host_have_a_log_each(
    output: LocalOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_log.socket, "gethostname", lambda: "laptop")
    logs = [AttemptLog(), AttemptLog()]
    for number, log in enumerate(logs):
        log.keep_in(output, lambda uri: None)
        log.write(f"attempt {number}")
        log.finish()

    assert [stored(output, log) for log in logs] == ["attempt 0\n", "attempt 1\n"]


@pytest.fixture
def guarded() -> Iterator[None]:
    """The logs of this process are as before when the test ends: one of another file looks at how they are guarded."""
    make_record, hooks = logging.getLogRecordFactory(), (threading.excepthook, sys.excepthook)
    guard_logs()
    yield
    logging.setLogRecordFactory(make_record)
    threading.excepthook, sys.excepthook = hooks


@pytest.mark.usefixtures("guarded")
def test_it_holds_no_secret(log: AttemptLog, output: LocalOutput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_known", ("correct-horse-battery",))

    with log.listening():
        logger.info("the password is correct-horse-battery")
        log.write("token hf_abcdefghijklmnopqrstuvwx")
        try:
            raise ValueError("correct-horse-battery")
        except ValueError:
            logger.exception("it failed")
        log.keep_in(output, lambda uri: None)
        log.finish()

    text = stored(output, log)
    assert "correct-horse-battery" not in text
    assert "hf_abc" not in text
    assert text.count("***") == 4
    assert "ValueError: ***" in text


def test_an_output_that_cannot_be_written_costs_a_warning_and_gets_all_of_it_later(
    log: AttemptLog, output: LocalOutput, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, broken = LocalOutput.write_log, [True, True]

    def fail_twice(self: LocalOutput, name: str, content: bytes) -> None:
        if broken:
            broken.pop()
            raise output_error("OutputNotWritable", "the bucket is away")  # type: ignore[arg-type]
        write(self, name, content)

    monkeypatch.setattr(LocalOutput, "write_log", fail_twice)
    monkeypatch.setattr(LocalOutput, "log_pause_seconds", 0.01)
    arrived: list[str] = []

    with log.listening():
        logger.info("first")
        log.keep_in(output, arrived.append)
        while not arrived:
            log._thread.join(0.01)
        log.finish()

    assert stored(output, log).startswith("first\n")
    assert caplog.text.count("the log cannot be stored yet: the bucket is away") == 1


def test_a_run_without_an_output_stores_nothing_and_ends_at_once(log: AttemptLog) -> None:
    with log.listening():
        logger.info("no such column")
        log.finish()


def test_of_many_attempts_the_newest_logs_are_kept(log: AttemptLog, output: LocalOutput) -> None:
    output.logs.mkdir()
    for number in range(25):
        (output.logs / f"20200101T0000{number:02}Z-pod.log").write_text("old")

    with log.listening():
        logger.info("new")
        log.keep_in(output, lambda uri: None)
        log.finish()

    names = sorted(path.name for path in output.logs.iterdir())
    assert len(names) == 20
    assert (names[0], names[-1]) == ("20200101T000006Z-pod.log", log.name)


def test_what_a_forked_worker_logs_is_left_to_the_pod_s_log(log: AttemptLog, output: LocalOutput) -> None:
    log._process = os.getpid() + 1

    log.write("from a worker")

    assert bytes(log._text) == b""


@given(st.lists(st.integers(1, MOST_BYTES // 3), max_size=20))
def test_a_log_of_any_length_keeps_its_beginning_and_its_end_within_bounds(lengths: list[int]) -> None:
    text = LogText()

    for number, length in enumerate(lengths):
        text.add(b"%d" % number + b"x" * length + b"\n")

    content = bytes(text)
    assert len(content) <= MOST_BYTES
    assert content.endswith(b"x\n" if lengths else b"")
    if sum(lengths) + 3 * len(lengths) <= MOST_BYTES // 2 and all(length < MOST_BYTES // 8 for length in lengths):
        assert content.count(b"\n") == len(lengths)
    elif b"lines are left out" in content:
        assert content.startswith(b"0x") or lengths[0] > MOST_BYTES // 4 - 3
