"""What strangers send into a log line neither breaks the line nor speaks to the terminal."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from finetune_operator.logging_setup import set_up

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
