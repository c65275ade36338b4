"""Chats in a form that is not read are told how to be written here."""

from pathlib import Path
from typing import Any

import pytest
from tests.trainer.chats.teaching import ANSWERED, ASKED, chat, refused

CALLED_BY = 'write the call of a function as tool_calls of the turn: [{"type": "function", "function": {"name": …, "arguments": {…}}}]'
GIVEN_BY = 'write what a function gave as a turn of its own: {"role": "tool", "content": …}'
THOUGHT = "write what was thought as reasoning_content of the turn"


@pytest.mark.parametrize(
    ("role", "part", "told", "hint"),
    [
        ("assistant", {"type": "tool_use", "id": "1", "name": "f", "input": {}}, "tool_use", CALLED_BY),
        ("user", {"type": "tool_result", "tool_use_id": "1", "content": "warm"}, "tool_result", GIVEN_BY),
        ("assistant", {"type": "thinking", "thinking": "hm", "signature": "x"}, "thinking", THOUGHT),
        ("model", {"functionCall": {"name": "f", "args": {}}}, "functionCall", CALLED_BY),
        ("user", {"functionResponse": {"name": "f", "response": {}}}, "functionResponse", GIVEN_BY),
        ("user", {"type": "image_url", "image_url": {"url": "x"}}, "image_url", "drop the row"),
    ],
)
def test_a_part_that_is_no_text_is_refused_with_how_it_is_written_here(
    tmp_path: Path, role: str, part: dict[str, Any], told: str, hint: str
) -> None:
    turn = (role, [{"type": "text", "text": "let me see"}, part])

    error = refused(tmp_path, [chat(ASKED, ANSWERED), chat(ASKED, ANSWERED, turn, ANSWERED)])

    assert error.message.startswith("column 'messages', row 2 of split 'train' (counted from 1): message 3 (")
    assert error.message.endswith(f"has a part of type {told}, and only text can be learnt")
    assert error.hint == hint


@pytest.mark.parametrize(("kind", "hint"), [("function_call", CALLED_BY), ("function_call_output", GIVEN_BY)])
def test_an_item_of_openais_responses_is_refused_with_how_it_is_written_here(
    tmp_path: Path, kind: str, hint: str
) -> None:
    turns = [*chat(ASKED)["messages"], {"type": kind, "call_id": "1"}, *chat(ANSWERED)["messages"]]

    error = refused(tmp_path, [{"messages": turns}])

    assert error.message.endswith("message 2 has no role, only type, call_id")
    assert error.hint == hint


def test_chats_of_gemini_are_refused_with_how_they_are_written_here(tmp_path: Path) -> None:
    turns = [{"role": "user", "parts": [{"text": "why?"}]}, {"role": "model", "parts": [{"text": "so."}]}]

    error = refused(tmp_path, [{"contents": turns}])

    assert error.reason == "ColumnNotFound"
    assert (error.hint or "").startswith(
        'chats as Gemini takes them: write each as {"messages": [{"role": "user", "content": …}'
    )
