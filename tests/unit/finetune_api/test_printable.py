"""Nothing that a terminal obeys, turns around or hides passes the contract, whichever field it is written into."""

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from finetune_api.base import JsonObject
from finetune_api.printable import printable
from finetune_api.report import FinalReport, ReportBody
from finetune_api.status import FineTuneJobStatus

HOSTILE = "\x1b[2J\x1b]0;t\x07a\u202eb\u200bc\ufeffd\x00e\x85f\u2028g\r\nh\x9bi\u2066j\U000e0041k\u3164l"
NUMBERS = {"stepsPerEpoch", "value", "epoch", "samplesPerSecond", "atLimit", "amount"}
"""Strings that hold a number, and take nothing else."""
WORDS = ("1", "Error", "EUR", "2026-11", "sha256:" + "0" * 64)
"""One for each pattern."""
SHOWN = "a�b�c�d�e f g h�i�j�k�l"


@pytest.mark.parametrize(
    ("text", "line", "lines"),
    [
        ("plain, ünïcödé, 日本語, 👍", "plain, ünïcödé, 日本語, 👍", "plain, ünïcödé, 日本語, 👍"),
        ("first\r\nsecond\rthird\n", "first second third ", "first\nsecond\nthird\n"),
        ("a\tb\u00a0c\u3000d", "a b c d", "a\tb c d"),
        ("\x1b[1;31mred\x1b[0m", "red", "red"),
        ("\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\", "link", "link"),
        ("half \ud800", "half �", "half �"),
        (HOSTILE, SHOWN, SHOWN.replace("e f g h", "e\nf\ng\nh")),
    ],
)
def test_text_is_shown_as_it_is_but_for_what_cannot_be_shown(text: str, line: str, lines: str) -> None:
    assert (printable(text), printable(text, lines=True)) == (line, lines)


@given(st.text(st.characters(), max_size=40))
def test_whatever_the_text_is_it_can_be_shown_and_is_no_longer_than_before(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    assert {unicodedata.category(each) for each in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == set()
    assert len(shown) <= len(text)
    assert printable(shown) == shown
    assert all(line.replace("\t", "").isprintable() for line in printable(text, lines=True).split("\n"))


def filled(node: JsonObject, definitions: JsonObject, text: str) -> Any:
    """A value of a schema with `text` wherever the schema alone would take it."""
    if "$ref" in node:
        return filled(definitions[node["$ref"].rpartition("/")[2]], definitions, text)
    if "anyOf" in node:
        return filled(node["anyOf"][0], definitions, text)
    match node.get("type"):
        case "object" if "properties" in node:
            fields = node["properties"].items()
            return {name: "1" if name in NUMBERS else filled(child, definitions, text) for name, child in fields}
        case "object":
            return {text: filled(node["additionalProperties"], definitions, text)}
        case "array":
            return [filled(node["items"], definitions, text)]
        case "boolean":
            return True
        case "integer":
            return 1
        case "string" if "enum" in node:
            return node["enum"][0]
        case "string" if node.get("format") == "date-time":
            return "2026-11-20T12:00:00Z"
        case "string" if "pattern" in node:
            return next(word for word in WORDS if re.search(node["pattern"], word))
        case _:
            return text


def strings(value: Any) -> list[str]:
    match value:
        case dict():
            return [text for name, each in value.items() for text in [name, *strings(each)]]
        case list():
            return [text for each in value for text in strings(each)]
        case str():
            return [value]
        case _:
            return []


@pytest.mark.parametrize("model", [ReportBody, FinalReport, FineTuneJobStatus])
def test_no_string_of_a_report_or_status_holds_what_cannot_be_shown(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()

    written = model.model_validate(filled(schema, schema["$defs"], HOSTILE)).model_dump(mode="json", by_alias=True)

    shown = strings(written)
    assert SHOWN in shown
    assert [each for each in shown if any(not letter.isprintable() for letter in each.replace("\n", ""))] == []
    assert {each for each in shown if "\n" in each} <= {SHOWN.replace("e f g h", "e\nf\ng\nh")}  # the log's tail
