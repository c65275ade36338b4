"""Of a chat the assistant's turns are learnt, and what cannot be is named."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from tests.trainer.chats.teaching import (
    ANSWERED,
    ASKED,
    TOOLS_CHATML,
    assistant,
    chat,
    refused,
    taught,
    user,
    write_parquet,
)

from finetune_api.report import ExitCode
from finetune_trainer.data.chats import encoding


def test_each_chat_has_the_time_that_is_given_to_a_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[None] = []
    monkeypatch.setattr(encoding, "came_on", lambda: parts.append(None))

    taught(tmp_path, [chat(ASKED, ANSWERED)] * 5)

    assert len(parts) == 5


# --- OpenAI's form


def test_the_line_break_after_a_turn_is_read_and_not_learnt(tmp_path: Path) -> None:
    rows, told = taught(tmp_path, [chat(ASKED, ANSWERED, ASKED, ("assistant", "no."))])

    assert rows == [(user("why?") + assistant("so.") + user("why?") + assistant("no."), "so.<|im_end|>|no.<|im_end|>")]
    assert told == []


def test_parts_that_are_text_are_joined(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "wh"}, {"type": "text", "text": "y?"}]

    rows, _ = taught(tmp_path, [chat(("user", parts), ("assistant", [{"type": "refusal", "refusal": "so."}]))])

    assert rows == [(user("why?") + assistant("so."), "so.<|im_end|>")]


def test_a_refusal_is_what_the_assistant_says(tmp_path: Path) -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "so."}

    rows, _ = taught(tmp_path, [{"messages": [{"role": "user", "content": "why?"}, refusal]}])

    assert rows == [(user("why?") + assistant("so."), "so.<|im_end|>")]


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        (
            [("user", [{"type": "image_url", "image_url": {"url": "x"}}]), ANSWERED],
            "message 1 (user) has a part of type image_url, and only text can be learnt",
        ),
        (
            [("user", [{"type": "text", "content": "why?"}]), ANSWERED],
            "message 1 (user) has a part without a text: {'type': 'text', 'content': 'why?'}",
        ),
        (
            [ASKED, {"role": "assistant", "content": "", "tool_calls": "f(x)"}],
            "message 2 has a call without the name of a function: 'f(x)'",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{city: "}}]}],
            "message 1: the arguments of f are no JSON object: '{city: '",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '["berlin"]'}}]}],
            "message 1: the arguments of f are no JSON object: ['berlin']",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}],
            "message 1 has a call without the name of a function",
        ),
        (
            [ASKED, {"role": "assistant", "content": "so.", "weight": 0.5}],
            "message 2 has weight 0.5, which is neither 0 nor 1",
        ),
        ([{"role": "user", "text": "why?"}, ANSWERED], "message 1 (user) has no content, only role, text"),
        (
            [{"role": "user", "parts": [{"text": "why?"}]}, ANSWERED],
            "message 1 (user) has no content, only role, parts",
        ),
        ([("user", 4), ANSWERED], "message 1 (user) has the content 4, which is no text"),
        ([("user", None), ANSWERED], "message 1 (user) has no content that is text"),
        ([ASKED, ("critic", "bad")], "the assistant says nothing in it: there are only turns of user, critic"),
    ],
)
def test_a_chat_that_cannot_be_learnt_is_named(tmp_path: Path, turns: list[Any], told: str) -> None:
    messages = [turn if isinstance(turn, dict) else {"role": turn[0], "content": turn[1]} for turn in turns]

    error = refused(tmp_path, [{"messages": messages}], template=TOOLS_CHATML)

    assert (error.exit_code, error.reason) == (ExitCode.DATA, "BadChat")
    assert error.message.startswith(f"column 'messages', row 1 of split 'train' (counted from 1): {told}")
    assert error.hint


@pytest.mark.parametrize(
    ("turn", "hint"),
    [
        ({"role": "assistant", "text": "so."}, "rename what is said to content"),
        ({"role": "assistant", "name": None}, "fill it in or drop the row"),
        ({"role": "assistant", "name": "eve", "weight": 1}, "fill it in or drop the row"),
    ],
)
def test_what_is_said_is_renamed_only_where_a_turn_may_hold_it(tmp_path: Path, turn: dict[str, Any], hint: str) -> None:
    error = refused(tmp_path, [{"messages": [*chat(ASKED)["messages"], turn]}], template=TOOLS_CHATML)

    assert (error.reason, error.hint) == ("BadChat", hint)


@pytest.mark.parametrize("column", ["tools", "functions", "system"])
def test_a_column_beside_whose_type_cannot_be_read_is_not_left_out_in_silence(tmp_path: Path, column: str) -> None:
    rows = {
        "messages": [chat(ASKED, ANSWERED)["messages"]],
        column: pa.array([[("a", "b")]], pa.map_("string", "string")),
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")

    error = refused(tmp_path, tmp_path / "rows.parquet")

    assert (error.exit_code, error.reason) == (ExitCode.DATA, "ColumnType")
    assert f"'{column}'" in error.message


def test_a_completion_that_is_no_chat_is_named_with_its_own_column_and_messages(tmp_path: Path) -> None:
    prompt = chat(ASKED, ANSWERED, ASKED)["messages"]

    for completion, told in (
        ([{"role": "assistant", "content": 4}], "message 1 (assistant) has the content 4, which is no text"),
        ([{"role": "user", "content": "x"}], "the assistant says nothing in the completion"),
    ):
        error = refused(tmp_path, [{"prompt": prompt, "completion": completion}])

        assert error.message == f"column 'completion', row 1 of split 'train' (counted from 1): {told}"


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"text": json.dumps(chat(ASKED, ANSWERED)["messages"])}, "text"),
        ({"prompt": json.dumps(chat(ASKED)["messages"]), "completion": "so."}, "prompt"),
        ({"prompt": "why?", "completion": json.dumps(chat(ANSWERED)["messages"])}, "completion"),
    ],
)
def test_turns_that_are_written_as_text_where_a_text_is_learnt_are_refused(
    tmp_path: Path, row: dict[str, Any], column: str
) -> None:
    error = refused(tmp_path, [row] * 2)

    assert (error.exit_code, error.reason) == (ExitCode.DATA, "ListAsText")
    assert error.message.startswith(
        f"column '{column}' of split 'train' holds turns that are written as text (row 1: '["
    )
    assert "dataset.columns.messages" in (error.hint or "")


def test_a_text_that_is_json_of_other_things_is_learnt(tmp_path: Path) -> None:
    assert taught(tmp_path, [{"text": '[{"a": 1}]'}, {"text": "[]"}], None)[1] == []


@pytest.mark.parametrize(
    "found",
    [
        {"name": "Jane", "role": "engineer"},
        {"role": "user", "may": ["read"]},
        {"role": "engineer", "content": "Jane"},
        {"from": "Paris", "to": "Rome"},
        {"from": "EUR", "value": 3},
    ],
)
def test_answers_that_are_json_with_a_role_or_a_from_of_their_own_are_learnt(
    tmp_path: Path, found: dict[str, Any]
) -> None:
    answer = json.dumps([found])

    rows, told = taught(tmp_path, [{"prompt": "who?", "completion": answer}], None)

    assert rows == [(f"who?{answer}<eos>", f"{answer}<eos>")]
    assert told == []


@pytest.mark.parametrize("turns", ["prompt", "completion"])
def test_a_prompt_and_a_completion_that_are_not_alike_are_refused(tmp_path: Path, turns: str) -> None:
    row: dict[str, Any] = {"prompt": "why?", "completion": "so."}
    row[turns] = chat(ASKED if turns == "prompt" else ANSWERED)["messages"]
    other = "completion" if turns == "prompt" else "prompt"

    error = refused(tmp_path, [row])

    assert error.message == f"column '{turns}' of split 'train' holds turns, and '{other}' holds text"
    assert error.hint == "write prompt and completion both as text, or both as lists of {role, content}"


@pytest.mark.parametrize("blank", ["", " ", "\u200b"])
def test_a_turn_in_which_the_user_says_nothing_is_reported(tmp_path: Path, blank: str) -> None:
    _, told = taught(tmp_path, [chat(ASKED, ANSWERED), chat(("user", blank), ANSWERED)])

    assert told == [
        (
            "EmptyTexts",
            "split 'train', 1 rows, the first is row 2 of split 'train' (counted from 1): the user says nothing in a turn; "
            "the model learns to answer to that",
        )
    ]


def test_a_chat_in_python_s_own_form_is_told_how_to_be_written(tmp_path: Path) -> None:
    error = refused(tmp_path, [{"messages": str(chat(ASKED, ANSWERED)["messages"])}])

    assert error.message.endswith("it is text that is no JSON, and not a list of {role, content}")
    assert error.hint is not None
    assert "json.dumps" in error.hint


@pytest.mark.parametrize("said", [" ", "\u200b"])
def test_a_turn_in_which_the_assistant_says_nothing_is_reported(tmp_path: Path, said: str) -> None:
    rows, told = taught(tmp_path, [chat(ASKED, ("assistant", said))])

    assert [learnt for _, learnt in rows] == [f"{said}<|im_end|>"]
    assert [reason for reason, _ in told] == ["EmptyAnswers"]
    assert "1 rows, the first is row 1 of split 'train'" in told[0][1]


@pytest.mark.parametrize(
    "messages",
    [
        json.dumps(chat(ASKED, ANSWERED)["messages"]),
        {"role": ["user", "assistant"], "content": ["why?", "so."]},
        [{"role": "User", "content": "why?", "name": "joe"}, {"role": "Assistant", "content": "so."}],
    ],
)
def test_other_ways_to_keep_a_chat_are_read(tmp_path: Path, messages: Any) -> None:
    rows, _ = taught(tmp_path, write_parquet(tmp_path / "rows.parquet", [{"messages": messages}]))

    assert rows == [(user("why?") + assistant("so."), "so.<|im_end|>")]


def test_what_the_assistant_says_in_two_turns_is_learnt_in_both(tmp_path: Path) -> None:
    rows, _ = taught(tmp_path, [chat(ANSWERED, ("assistant", "and so."), ASKED)])

    assert rows == [(assistant("so.") + assistant("and so.") + user("why?"), "so.<|im_end|>|and so.<|im_end|>")]


# --- Weights


@pytest.mark.parametrize("off", [{"weight": 0}, {"train": False}])
@pytest.mark.parametrize("parquet", [False, True])
def test_a_turn_without_weight_is_read_and_not_learnt(tmp_path: Path, off: dict[str, Any], parquet: bool) -> None:
    turns = [
        {"role": "user", "content": "1", "weight": 1},
        {"role": "assistant", "content": "bad", **off},
        {"role": "user", "content": "2"},
        {"role": "assistant", "content": "good", "weight": 1, "train": True},
    ]
    given = write_parquet(tmp_path / "rows.parquet", [{"messages": turns}]) if parquet else [{"messages": turns}]

    rows, told = taught(tmp_path, given)

    assert rows == [(user("1") + assistant("bad") + user("2") + assistant("good"), "good<|im_end|>")]
    assert told == []


def test_rows_in_which_no_turn_has_weight_are_left_out_and_reported(tmp_path: Path) -> None:
    unwanted = {"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "bad", "weight": 0}]}

    rows, told = taught(tmp_path, [unwanted, chat(ASKED, ANSWERED)])
    error = refused(tmp_path, [unwanted])

    assert rows == [(user("why?") + assistant("so."), "so.<|im_end|>")]
    assert told == [
        (
            "NothingWeighted",
            "split 'train': 1 of 2 rows are left out, since each turn of the assistant has a weight of 0, or train: false; "
            "the first is row 1 of split 'train' (counted from 1)",
        )
    ]
    assert (error.exit_code, error.reason) == (ExitCode.DATA, "NothingToLearn")


# --- System prompts


@pytest.mark.parametrize("name", ["system", "system_prompt"])
@pytest.mark.parametrize("form", ["messages", "sharegpt"])
def test_a_column_system_is_the_first_turn(tmp_path: Path, name: str, form: str) -> None:
    turns = [{"from": "human", "value": "why?"}, {"from": "gpt", "value": "so."}]
    row = {"conversations": turns} if form == "sharegpt" else chat(ASKED, ANSWERED)

    rows, told = taught(tmp_path, [{**row, name: "be"}, {**row, name: ""}, {**row, name: None}])

    whole = user("why?") + assistant("so.")
    assert [text for text, _ in rows] == ["<|im_start|>system\nbe<|im_end|>\n" + whole, whole, whole]
    assert {learnt for _, learnt in rows} == {"so.<|im_end|>"}
    assert told == []


def test_a_chat_s_own_system_turn_wins_and_that_is_reported(tmp_path: Path) -> None:
    rows, told = taught(tmp_path, [chat(("system", "own"), ASKED, ANSWERED, system="be")])

    assert rows[0][0].startswith("<|im_start|>system\nown<|im_end|>\n<|im_start|>user")
    assert [reason for reason, _ in told] == ["SystemTwice"]
    assert "the chat's own system turn is taken, and not column 'system'" in told[0][1]
