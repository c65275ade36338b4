"""Tools and calls of them reach the template, in each way that they are written."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.trainer.chats.teaching import (
    ANSWERED,
    ASKED,
    CALL,
    CALLED,
    CALLS,
    TOOL,
    TOOLS_CHATML,
    assistant,
    chat,
    refused,
    taught,
    user,
    write_parquet,
)

from finetune_api.report import ExitCode


@pytest.mark.parametrize("tools", [[TOOL], json.dumps([TOOL]), [json.dumps(TOOL)], [TOOL["function"]]])
def test_tools_reach_the_template_and_arguments_are_objects(tmp_path: Path, tools: Any) -> None:
    rows, told = taught(tmp_path, [{"messages": CALLS, "tools": tools}], TOOLS_CHATML)

    assert rows == [
        (
            f"<|im_start|>tools\n{json.dumps(TOOL)}\n<|im_end|>\n"
            + user("x")
            + assistant('<call>{"name": "f", "arguments": {"city": "berlin", "day": null}}</call>')
            + "<|im_start|>tool\nwarm<|im_end|>\n"
            + assistant("It is warm."),
            CALLED,
        )
    ]
    assert told == []


def test_openai_s_old_form_of_calls_is_read(tmp_path: Path) -> None:
    old = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "function_call": CALL["function"]},
        {"role": "function", "name": "f", "content": "warm"},
        {"role": "assistant", "content": "It is warm."},
    ]

    rows, _ = taught(tmp_path, [{"messages": old, "functions": [TOOL["function"]]}], TOOLS_CHATML)

    assert rows == taught(tmp_path, [{"messages": CALLS, "tools": [TOOL]}], TOOLS_CHATML)[0]


def test_rows_have_tools_and_arguments_of_their_own(tmp_path: Path) -> None:
    def row(name: str, arguments: Any) -> dict[str, Any]:
        call = {"type": "function", "function": {"name": name, "arguments": arguments}}
        tool = {"type": "function", "function": {"name": name, "parameters": {key: {} for key in arguments}}}
        return {
            "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call, call]}],
            "tools": [tool],
        }

    wanted = [{"city": "berlin"}, {"numbers": [1, 2], "deep": {"a": "b"}}, {"numbers": "none"}]

    rows, _ = taught(tmp_path, [row(f"f{n}", arguments) for n, arguments in enumerate(wanted)], TOOLS_CHATML)

    assert [learnt for _, learnt in rows] == [
        2 * f'<call>{{"name": "f{n}", "arguments": {json.dumps(arguments)}}}</call>' + "<|im_end|>"
        for n, arguments in enumerate(wanted)
    ]
    assert [text.splitlines()[1] for text, _ in rows] == [
        json.dumps({"type": "function", "function": {"name": f"f{n}", "parameters": {key: {} for key in arguments}}})
        for n, arguments in enumerate(wanted)
    ]


def test_nulls_that_parquet_puts_into_structures_are_taken_out_at_every_depth(tmp_path: Path) -> None:
    def row(arguments: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
        call = {"function": {"name": "f", "arguments": arguments}}
        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "so.", "tool_calls": [call]}]
        return {"messages": turns, "tools": [{"type": "function", "function": {"name": "f", "properties": properties}}]}

    path = write_parquet(
        tmp_path / "rows.parquet",
        [
            row({"city": "berlin", "near": {"a": 1}}, {"city": {"type": "string"}}),
            row({"day": "monday", "near": {"b": [2]}}, {"day": {"type": "string", "enum": ["monday"]}}),
        ],
    )

    rows, _ = taught(tmp_path, path, TOOLS_CHATML)

    assert [learnt for _, learnt in rows] == [
        'so.<call>{"name": "f", "arguments": {"city": "berlin", "near": {"a": 1}}}</call><|im_end|>',
        'so.<call>{"name": "f", "arguments": {"near": {"b": [2]}, "day": "monday"}}</call><|im_end|>',
    ]
    assert "null" not in "".join(text for text, _ in rows)


def test_nulls_of_a_json_file_are_taken_out_and_reported_and_those_of_a_json_string_are_meant(tmp_path: Path) -> None:
    def row(arguments: Any) -> dict[str, Any]:
        call = {"function": {"name": "f", "arguments": arguments}}
        return {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]}

    rows, told = taught(
        tmp_path, [row({"a": {"b": None, "c": [None]}, "d": None}), row('{"a": {"b": null}}')], TOOLS_CHATML
    )

    assert [learnt for _, learnt in rows] == [
        '<call>{"name": "f", "arguments": {"a": {"c": [null]}}}</call><|im_end|>',
        '<call>{"name": "f", "arguments": {"a": {"b": null}}}</call><|im_end|>',
    ]
    assert [reason for reason, _ in told] == ["NullsLeftOut"]
    assert "1 rows, the first is row 1 of split 'train'" in told[0][1]


@pytest.mark.parametrize(
    ("fields", "column", "told"),
    [
        ({"tools": "search"}, "tools", "its tools are no list of descriptions of functions: 'search'"),
        ({"tools": '[{"name": "f"'}, "tools", 'its tools are no list of descriptions of functions: \'[{"name": "f"\''),
        ({"functions": [{"description": "Look."}]}, "functions", "its tools have a function without a name: {'desc"),
        (
            {"tools": [{"name": "f", "parameters": "{city"}]},
            "tools",
            "its tools have parameters of f that are no object: '{city'",
        ),
        ({"tools": [{"name": " ", "parameters": {}}]}, "tools", "its tools have a function without a name"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools", "its tools have a function without a name"),
    ],
)
def test_tools_that_are_none_are_named_with_their_own_column(
    tmp_path: Path, fields: dict[str, Any], column: str, told: str
) -> None:
    error = refused(tmp_path, [chat(ASKED, ANSWERED, **fields)], template=TOOLS_CHATML)

    assert (error.exit_code, error.reason) == (ExitCode.DATA, "BadChat")
    assert error.message.startswith(f"column '{column}', row 1 of split 'train' (counted from 1): {told}")
    assert error.hint is not None
    assert "{type: function, function: {name, description, parameters}}" in error.hint


@pytest.mark.parametrize("nothing", ["", "null", " null ", "{}"])
def test_a_function_without_parameters_is_called_without_arguments_however_that_is_written(
    tmp_path: Path, nothing: str
) -> None:
    called = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": nothing}}],
    }
    row = {
        "messages": [*chat(ASKED)["messages"], called],
        "tools": json.dumps([{"type": "function", "function": {"name": "f", "parameters": nothing}}]),
    }

    rows, told = taught(tmp_path, [row], TOOLS_CHATML)

    assert [learnt for _, learnt in rows] == ['<call>{"name": "f", "arguments": {}}</call><|im_end|>']
    assert told == []


@pytest.mark.parametrize("tools", ["", "null", "[]", []])
def test_no_tools_may_be_written_in_any_way(tmp_path: Path, tools: Any) -> None:
    rows, told = taught(tmp_path, [chat(ASKED, ANSWERED, tools=tools)], TOOLS_CHATML)

    assert rows == [(user("why?") + assistant("so."), "so.<|im_end|>")]
    assert told == []


def test_a_time_within_tools_is_named_with_their_column(tmp_path: Path) -> None:
    tools = [{"name": "f", "since": datetime(2024, 1, 1, tzinfo=UTC)}]

    error = refused(tmp_path, write_parquet(tmp_path / "rows.parquet", [chat(ASKED, ANSWERED, tools=tools)]))

    assert error.message.startswith("column 'tools', row 1 of split 'train' (counted from 1): it holds a time")
