"""What strangers send into a log line neither breaks the line nor speaks to the terminal."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from finetune_operator.logging_setup import RepeatsCounted, note_unhandled, set_up

HOSTILE = "team-a/yelp\x1b[2J\n12:00:00 INFO root: all is well \u202e"


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_a_record_is_one_line_of_text_that_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", "INFO")

    logging.getLogger("a").warning("refused %s", HOSTILE)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING a: refused team-a/yelp 12:00:00 INFO root: all is well �")


def test_a_traceback_keeps_its_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", "INFO")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("a").warning("failed", exc_info=sys.exc_info())

    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "Traceback (most recent call last):"
    assert all(line.isprintable() for line in lines)


def test_json_escapes_what_cannot_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "INFO")

    logging.getLogger("a").warning("refused %s", HOSTILE)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == f"refused {HOSTILE}"


@pytest.mark.parametrize("cause", [None, "503"])
def test_json_has_a_cause_where_there_is_one(capsys: pytest.CaptureFixture[str], cause: str | None) -> None:
    set_up("json", "INFO")

    logging.getLogger("a").warning("it failed", extra={"cause": cause})

    assert json.loads(capsys.readouterr().err).get("cause", "none at all") == (cause or "none at all")


class Log:
    """A logger of which the lines that pass are kept, and a clock."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._filter = RepeatsCounted(lambda: self.time)

    def write(self, message: str, *arguments: object, line: int = 1) -> str | None:
        record = logging.LogRecord("a", logging.WARNING, "a.py", line, message, arguments, None)
        return record.getMessage() if self._filter.filter(record) else None


def test_a_line_that_is_repeated_is_counted_and_written_once_a_minute() -> None:
    log = Log()
    written = []

    for _ in range(3):
        written += [log.write("no file descriptor left") for _ in range(1000)]
        log.time += 61

    first = "no file descriptor left"
    assert [line for line in written if line] == [first, *[f"{first} (999 more like this)"] * 2]


@pytest.mark.thorough
def test_lines_of_one_place_that_differ_are_bounded_and_those_of_others_are_not_touched() -> None:
    log = Log()

    flood = [log.write("refused %s", number) for number in range(10_000)]
    other = log.write("renewed the keys", line=2)
    log.time += 1
    after = log.write("refused %s", "x")

    assert sum(line is not None for line in flood) == 50
    assert (other, after) == ("renewed the keys", "refused x (9950 more like this)")


@pytest.mark.thorough
def test_what_is_remembered_and_written_is_bounded() -> None:
    log = Log()

    for number in range(5000):
        log.write("%s", number, line=number)

    assert len(log._filter._left_out) <= 1000
    assert len(log.write("x" * 100_000, line=9999) or "") == 4096


def test_a_flood_through_the_process_s_own_log_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "INFO")

    for _ in range(1000):
        logging.getLogger("asyncio").error("socket.accept() out of system resource")

    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (RuntimeError("unable to perform operation on <TCPTransport closed=True 0x1>; the handler is closed"), []),
        (RuntimeError("something else"), ["RuntimeError: something else"]),
    ],
)
def test_what_comes_on_a_connection_that_was_closed_is_no_traceback_and_all_else_is(
    capsys: pytest.CaptureFixture[str], error: Exception, logged: list[str]
) -> None:
    set_up("text", "INFO")
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(note_unhandled)

    loop.call_exception_handler({"message": "Fatal error on SSL protocol", "exception": error, "transport": "one"})
    loop.close()

    assert capsys.readouterr().err.splitlines()[-1:] == logged


@pytest.mark.parametrize(
    ("context", "logged"),
    [
        ({"message": "it failed", "exception": ValueError("no number")}, "it failed: ValueError no number"),
        (
            {"message": "it failed", "exception": BrokenPipeError(32, "gone")},
            "it failed: BrokenPipeError [Errno 32] gone",
        ),
        ({"message": "it was left"}, "it was left"),
    ],
)
def test_what_may_pass_is_named_where_nobody_waits_for_it(
    caplog: pytest.LogCaptureFixture, context: dict[str, object], logged: str
) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(note_unhandled)

    loop.call_exception_handler(context)
    loop.close()

    assert [record.getMessage() for record in caplog.records] == [logged]
