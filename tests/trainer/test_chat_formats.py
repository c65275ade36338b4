"""What is learnt of rows as people write them: OpenAI's chats, ShareGPT's, Alpaca's, and texts with their own special tokens."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from tests.trainer.test_language_labels import inputs
from tests.trainer.tiny_language import CHATML, byte_tokenizer, save_byte_llama

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.data.chats import encoding
from finetune_trainer.tasks import causal_lm
from finetune_trainer.tasks.task import prepare

TURNS = ("<|im_start|>", "<|im_end|>")
TOOLS_CHATML = (
    "{% if tools %}<|im_start|>tools\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls %}"
    "<call>{{ c.function | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Told = list[tuple[str, str]]


def user(text: str) -> str:
    return f"<|im_start|>user\n{text}<|im_end|>\n"


def assistant(text: str) -> str:
    return f"<|im_start|>assistant\n{text}<|im_end|>\n"


def taught(
    folder: Path, rows: Any, template: str | None = CHATML, begins: bool = False, **settings: Any
) -> tuple[list[tuple[str, str]], Told]:
    """Of each row its text and what of it is learnt, with `|` between what is not together; and what was warned of."""
    tokenizer = byte_tokenizer(template, TURNS, begins)
    model = save_byte_llama(folder / "model", tokenizer)
    told: Told = []
    with collected(lambda reason, message: told.append((reason, message))):
        data = prepare(causal_lm, inputs(folder, "causal-lm", model, rows, packing=False, **settings))
    # The rows are evaluated on as well, so that all is said twice.
    return [
        (tokenizer.decode(row["input_ids"]), _learnt(tokenizer, row["labels"])) for row in data.train.dataset
    ], list(dict.fromkeys(told))


def _learnt(tokenizer: Any, labels: list[int]) -> str:
    parts: list[list[int]] = [[]]
    for label in labels:
        if label == -100:
            parts.append([])
        else:
            parts[-1].append(label)
    return "|".join(tokenizer.decode(part) for part in parts if part)


def refused(folder: Path, rows: Any, **settings: Any) -> TrainerError:
    with pytest.raises(TrainerError) as error:
        taught(folder, rows, **settings)
    return error.value


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def chat(*turns: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **fields}


ASKED, ANSWERED = ("user", "why?"), ("assistant", "so.")


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


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"city": "berlin", "day": null}'}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"city": {}}}}}
CALLS = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "name": "f", "content": "warm"},
    {"role": "assistant", "content": "It is warm."},
]
CALLED = '<call>{"name": "f", "arguments": {"city": "berlin", "day": null}}</call><|im_end|>|It is warm.<|im_end|>'


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


def test_what_the_template_passes_over_in_silence_is_warned_of_with_its_rows(tmp_path: Path) -> None:
    rows, told = taught(tmp_path, [chat(ASKED, ANSWERED), {"messages": CALLS, "tools": [TOOL]}])

    assert len(rows) == 2
    assert [reason for reason, _ in told] == ["NotInTemplate", "NotInTemplate"]
    assert "1 rows, the first is row 2 of split 'train'" in told[0][1]
    assert "calls of functions (tool_calls) are not written by the model's chat template" in told[0][1]
    assert "tools are not written by the model's chat template" in told[1][1]


THOUGHTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>"
    "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_that_the_template_passes_over_are_warned_of(tmp_path: Path, field: str) -> None:
    thinking = {"role": "assistant", "content": "so.", field: "hm"}

    rows, told = taught(tmp_path, [{"messages": [*chat(ASKED)["messages"], thinking]}])

    assert rows == [(user("why?") + assistant("so."), "so.<|im_end|>")]
    assert [reason for reason, _ in told] == ["NotInTemplate"]
    assert f"what turns hold as {field} is not written by the model's chat template" in told[0][1]


WITHOUT_THOUGHTS = CHATML.replace("m['content']", "m['content'].split('</think>')[-1].strip()")


@pytest.mark.parametrize("content", ["<think>hm</think>\n\nso.", "hm</think>so.", "<think>\n\n</think>\n\nso."])
def test_thoughts_within_what_is_said_are_warned_of_where_the_template_leaves_them_out(
    tmp_path: Path, content: str
) -> None:
    row = chat(ASKED, ("assistant", content))

    rows, told = taught(tmp_path, [chat(ASKED, ANSWERED), row], WITHOUT_THOUGHTS)

    assert rows[1] == (user("why?") + assistant("so."), "so.<|im_end|>")
    assert [reason for reason, _ in told] == ["NotInTemplate"]
    assert "1 rows, the first is row 2 of split 'train'" in told[0][1]
    assert "what turns hold as their content before </think> is not written by the model's chat template" in told[0][1]


def test_thoughts_within_what_is_said_are_learnt_where_the_template_writes_them(tmp_path: Path) -> None:
    rows, told = taught(tmp_path, [chat(ASKED, ("assistant", "<think>hm</think>so."))])

    assert rows == [(user("why?") + assistant("<think>hm</think>so."), "<think>hm</think>so.<|im_end|>")]
    assert told == []


FIRST_SYSTEM = (
    "{% for m in messages %}{% if m.role != 'system' or loop.first %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


QUESTION, ANSWER = chat(ASKED, ANSWERED)["messages"]
SYSTEM = {"role": "system", "content": "be brief"}
THINKING = {"role": "assistant", "content": "so.", "reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("template", "written", "passed_over", "told"),
    [
        (FIRST_SYSTEM, [SYSTEM, QUESTION, ANSWER], [SYSTEM, QUESTION, ANSWER] * 2, "turns of system are"),
        (
            THOUGHTS.replace("m.reasoning_content %}", "m.reasoning_content and loop.last %}"),
            [QUESTION, THINKING],
            [QUESTION, THINKING] * 2,
            "what turns hold as reasoning_content is",
        ),
    ],
)
def test_a_turn_that_the_template_passes_over_is_warned_of_where_it_writes_others_of_the_kind(
    tmp_path: Path, template: str, written: list[Any], passed_over: list[Any], told: str
) -> None:
    _, warned = taught(tmp_path, [{"messages": written}, {"messages": passed_over}], template)

    assert [reason for reason, _ in warned] == ["NotInTemplate"]
    assert "1 rows, the first is row 2 of split 'train'" in warned[0][1]
    assert f"{told} not written by the model's chat template" in warned[0][1]


def test_thoughts_that_the_template_writes_are_learnt(tmp_path: Path) -> None:
    thinking = {"role": "assistant", "content": "so.", "reasoning_content": "hm"}

    rows, told = taught(tmp_path, [{"messages": [*chat(ASKED)["messages"], thinking]}], THOUGHTS)

    assert rows == [(user("why?") + assistant("<think>hm</think>so."), "<think>hm</think>so.<|im_end|>")]
    assert told == []


def test_thoughts_under_two_names_are_learnt_where_the_template_writes_one(tmp_path: Path) -> None:
    thinking = {"role": "assistant", "content": "so.", "reasoning_content": "hm", "reasoning": "hm"}

    rows, told = taught(tmp_path, [{"messages": [*chat(ASKED)["messages"], thinking]}], THOUGHTS)

    assert rows == [(user("why?") + assistant("<think>hm</think>so."), "<think>hm</think>so.<|im_end|>")]
    assert told == []


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("mark", ["<|im_end|>", "<|im_start|>", "<eos>"])
def test_marks_of_the_template_within_a_turn_are_warned_of(tmp_path: Path, place: int, mark: str) -> None:
    turns = [ASKED, ANSWERED]
    turns[place] = (turns[place][0], f"so.{mark}")

    _, told = taught(tmp_path, [chat(ASKED, ANSWERED), chat(*turns)])

    assert [reason for reason, _ in told] == ["EndWithinText"]
    assert told[0][1].startswith(
        f"split 'train', 1 rows, the first is row 2 of split 'train' (counted from 1): turns hold '{mark}'"
    )


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


def test_turns_of_the_user_that_the_template_passes_over_are_warned_of(tmp_path: Path) -> None:
    template = "{% set m = messages[-1] %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>"

    _, told = taught(tmp_path, [chat(ASKED, ANSWERED)], template)

    assert ("NotInTemplate", "turns of user are not written by the model's chat template") in [
        (reason, message.split(": ")[1].split(", so that")[0]) for reason, message in told if ": " in message
    ]


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


def test_a_completion_that_is_no_chat_is_named_with_its_own_column_and_messages(tmp_path: Path) -> None:
    prompt = chat(ASKED, ANSWERED, ASKED)["messages"]

    for completion, told in (
        ([{"role": "assistant", "content": 4}], "message 1 (assistant) has the content 4, which is no text"),
        ([{"role": "user", "content": "x"}], "the assistant says nothing in the completion"),
    ):
        error = refused(tmp_path, [{"prompt": prompt, "completion": completion}])

        assert error.message == f"column 'completion', row 1 of split 'train' (counted from 1): {told}"


@pytest.mark.parametrize(
    ("role", "meant"),
    [("usr", "; did you mean 'user'?"), ("asistant", "; did you mean 'assistant'?"), ("critic, 2", "")],
)
def test_turns_of_a_role_that_nobody_knows_are_warned_of_with_row_and_role(
    tmp_path: Path, role: str, meant: str
) -> None:
    rows, told = taught(tmp_path, [chat(ASKED, ANSWERED), *[chat((role, "hm"), ASKED, ANSWERED)] * 2])

    assert rows[1] == (
        f"<|im_start|>{role}\nhm<|im_end|>\n" + user("why?") + assistant("so."),
        "so.<|im_end|>",
    )
    assert told == [
        (
            "UnknownRole",
            f"split 'train', 2 rows, the first is row 2 of split 'train' (counted from 1): turns have the role {role!r}, which "
            "neither this trainer nor the model's chat template knows: they are written as they are, and not learnt. Call "
            f"roles system, user, assistant and tool{meant}",
        )
    ]


def test_a_role_that_the_template_names_is_not_warned_of(tmp_path: Path) -> None:
    template = "{% if messages[0].role == 'critic' %}{% endif %}" + CHATML

    assert taught(tmp_path, [chat(("critic", "hm"), ASKED, ANSWERED)], template)[1] == []


def test_a_role_that_the_template_refuses_is_named(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'usr' %}{{ raise_exception('no') }}{% endif %}{% endfor %}" + CHATML
    )

    error = refused(tmp_path, [chat(("usr", "hm"), ANSWERED)], template=template)

    assert error.message.endswith(": the model's chat template refuses it: no")
    assert error.hint is not None
    assert error.hint.endswith("and not 'usr'; did you mean 'user'?")


@pytest.mark.parametrize(
    "turns",
    [
        (("user ", "why?"), (" Assistant\n", "so.")),
        (("\ufeffuser", "why?"), ("assistant\u200b", "so.")),
        (("User:", "why?"), ("assistant: ", "so.")),
    ],
)
@pytest.mark.parametrize("form", [("role", "content"), ("from", "value")])
def test_what_stands_around_a_role_is_none_of_it(tmp_path: Path, form: tuple[str, str], turns: Any) -> None:
    turns = [dict(zip(form, turn, strict=True)) for turn in turns]
    column = "messages" if form[0] == "role" else "conversations"

    rows, told = taught(tmp_path, [{column: turns}])

    assert rows == [(user("why?") + assistant("so."), "so.<|im_end|>")]
    assert told == []


@pytest.mark.parametrize("role", ["", " ", 4])
def test_a_role_that_is_no_word_is_named(tmp_path: Path, role: Any) -> None:
    error = refused(tmp_path, [{"messages": [{"role": role, "content": "hm"}, {"role": "assistant", "content": "x"}]}])

    assert f"message 1 has the role {role!r}" in error.message


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


# --- ShareGPT and other names of roles


@pytest.mark.parametrize("column", ["conversations", "conversation", "messages", "talk"])
def test_sharegpt_s_chats_are_read_as_they_are(tmp_path: Path, column: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "finetune_trainer")
    turns = [
        {"from": "system", "value": "be"},
        {"from": "human", "value": "why?"},
        {"from": "gpt", "value": "bad", "weight": 0},
        {"from": "user", "value": "2"},
        {"from": "chatgpt", "value": "so."},
    ]
    named = {"columns": {"messages": "talk"}} if column == "talk" else {}

    rows, _ = taught(tmp_path, [{column: turns}], **named)

    whole = "<|im_start|>system\nbe<|im_end|>\n" + user("why?") + assistant("bad") + user("2") + assistant("so.")
    assert rows == [(whole, "so.<|im_end|>")]
    assert f"learning from the columns {column} (dataset.format sharegpt, detected by the columns)" in caplog.text


def test_sharegpt_s_calls_of_functions_are_read(tmp_path: Path) -> None:
    turns = [
        {"from": "human", "value": "x"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"city": "berlin", "day": null}}'},
        {"from": "observation", "value": "warm"},
        {"from": "gpt", "value": "It is warm."},
    ]

    rows, _ = taught(tmp_path, [{"conversations": turns, "tools": json.dumps([TOOL["function"]])}], TOOLS_CHATML)

    assert [learnt for _, learnt in rows] == [CALLED]
    assert json.dumps(TOOL) in rows[0][0]


def test_roles_by_other_names_are_read_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "finetune_trainer")

    rows, _ = taught(tmp_path, [chat(("human", "why?"), ("gpt", "so."))])

    assert rows == [(user("why?") + assistant("so."), "so.<|im_end|>")]
    assert "roles are called as the model's chat template knows them" in caplog.text


def test_a_speaker_that_nobody_knows_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    error = refused(tmp_path, [{"conversations": [{"from": "narrator", "value": "once"}]}])

    assert (error.exit_code, error.reason) == (ExitCode.DATA, "BadChat")
    assert "row 1 of split 'train' (counted from 1): message 1 is from 'narrator'" in error.message
    assert "human" in error.message
    assert "gpt" in error.message


# --- Alpaca

ALPACA = [
    {"instruction": "translate", "input": "hello", "output": "bonjour"},
    {"instruction": "say 1", "input": "", "output": "1"},
    {"instruction": "say 2", "input": None, "output": "2"},
]
STANFORD = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a response "
    "that appropriately completes the request.\n\n### Instruction:\ntranslate\n\n### Input:\nhello\n\n### Response:\n",
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nsay 1\n\n### Response:\n",
)  # fmt: skip


@pytest.mark.parametrize(
    "named", [{}, {"columns": {"prompt": "instruction", "completion": "output"}}, {"format": "alpaca"}]
)
def test_alpaca_s_input_is_part_of_the_prompt(tmp_path: Path, named: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "finetune_trainer")

    rows, told = taught(tmp_path, ALPACA, None, **named)

    assert rows[:2] == [(f"{STANFORD[0]}bonjour<eos>", "bonjour<eos>"), (f"{STANFORD[1]}1<eos>", "1<eos>")]
    assert rows[2][1] == "2<eos>"
    assert "### Input" not in rows[2][0]
    assert "learning from the columns instruction, output, input (dataset.format alpaca" in caplog.text
    assert told == []


def test_alpaca_s_rows_may_be_csv(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("instruction,input,output\ntranslate,hello,bonjour\nsay 1,,1\n")

    rows, told = taught(tmp_path, path, None)

    assert rows == [(f"{STANFORD[0]}bonjour<eos>", "bonjour<eos>"), (f"{STANFORD[1]}1<eos>", "1<eos>")]
    assert told == []


def test_with_a_chat_template_an_instruction_is_what_the_user_says(tmp_path: Path) -> None:
    rows, _ = taught(tmp_path, [{**ALPACA[0], "system": "be"}, {**ALPACA[1], "system": None}])

    assert rows == [
        (
            "<|im_start|>system\nbe<|im_end|>\n" + user("translate\n\nhello") + assistant("bonjour"),
            "bonjour<|im_end|>",
        ),
        (user("say 1") + assistant("1"), "1<|im_end|>"),
    ]


def test_a_column_of_text_is_taken_before_alpaca_s_and_what_is_left_out_is_reported(tmp_path: Path) -> None:
    rows, told = taught(tmp_path, [{**ALPACA[0], "text": "all of it"}], None)

    assert rows == [("all of it<eos>", "ll of it<eos>")]
    assert told[0][0] == "ColumnsNotRead"
    assert "is read as text, without its columns 'instruction', 'input', 'output'" in told[0][1]


def test_an_input_beside_other_prompts_is_not_read_and_reported(tmp_path: Path) -> None:
    given = [{"question": "a", "answer": " b", "context": "c"}]

    rows, told = taught(tmp_path, given, None, columns={"prompt": "question", "completion": "answer"})

    assert rows == [("a b<eos>", " b<eos>")]
    assert [reason for reason, _ in told] == ["ColumnsNotRead"]
    assert "is read as prompt-completion, without its column 'context'" in told[0][1]


@pytest.mark.parametrize(
    "row",
    [
        {"image": "a.png", **chat(ASKED, ANSWERED)},
        {"videos": ["a"], "text": "a"},
        {"audio": "a.wav", "prompt": "a", "completion": "b"},
    ],
)
def test_pictures_and_sounds_beside_a_text_are_not_read_and_reported(tmp_path: Path, row: dict[str, Any]) -> None:
    _, told = taught(tmp_path, [row], CHATML if "messages" in row else None)

    assert [reason for reason, _ in told] == ["ColumnsNotRead"]
    assert f"without its column '{next(iter(row))}'" in told[0][1]


@pytest.mark.parametrize("turns", [False, True])
def test_answers_that_are_marked_as_good_or_bad_are_all_learnt_and_reported(tmp_path: Path, turns: bool) -> None:
    prompt, completion = ([chat(turn)["messages"] for turn in (ASKED, ANSWERED)]) if turns else ("why?", " so.")
    rows = [{"prompt": prompt, "completion": completion, "label": good} for good in (True, False)]

    learnt, told = taught(tmp_path, rows, CHATML)

    assert len(learnt) == 2
    assert [reason for reason, _ in told] == ["ColumnsNotRead"]
    assert "its column 'label' of true and false is not read" in told[0][1]


def test_a_label_that_is_no_mark_of_an_answer_is_taken_without_a_word(tmp_path: Path) -> None:
    assert taught(tmp_path, [{"prompt": "a", "completion": "b", "label": "x"}], None)[1] == []


# --- Prompts and completions that are turns


def test_of_a_prompt_and_a_completion_that_are_turns_the_completion_is_learnt(tmp_path: Path) -> None:
    row = {
        "prompt": chat(ASKED, ANSWERED, ("user", "really?"))["messages"],
        "completion": chat(("assistant", "yes."))["messages"],
    }

    rows, _ = taught(tmp_path, [row])
    whole, _ = taught(tmp_path, [row], completionOnlyLoss=False)

    text = user("why?") + assistant("so.") + user("really?") + assistant("yes.")
    assert rows == [(text, "yes.<|im_end|>")]
    assert whole == [(text, text.removeprefix("<|im_start|>"))]


# --- Beginning and end of text


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("<bos>[INST] a [/INST] b<eos>", "<bos>[INST] a [/INST] b<eos>"),
        ("[INST] a [/INST] b", "<bos>[INST] a [/INST] b<eos>"),
        ("<bos>a<eos>\n", "<bos>a<eos>"),
        (" <bos>a<eos> ", "<bos>a<eos>"),
        ("\ufeff<bos>a<eos>\u200b", "<bos>a<eos>"),
        ("\n\t<bos>a", "<bos>a<eos>"),
        ("<bos>a<eos><bos>b<eos>", "<bos>a<eos><bos>b<eos>"),
    ],
)
@pytest.mark.parametrize("prompted", [False, True])
def test_a_text_has_one_beginning_and_one_end(tmp_path: Path, text: str, tokens: str, prompted: bool) -> None:
    middle = text.index("a")
    row = {"prompt": text[:middle], "completion": text[middle:]} if prompted else {"text": text}

    rows, _ = taught(tmp_path, [row], None, begins=True)

    assert rows == [(tokens, tokens[tokens.index("a") :] if prompted else tokens.removeprefix("<bos>"))]


@pytest.mark.parametrize("begin", ["<bos>", " <bos>", "\n<bos>"])
def test_a_completion_has_no_beginning_of_its_own_behind_that_of_the_prompt(tmp_path: Path, begin: str) -> None:
    row = {"prompt": "why?", "completion": f"{begin}so.<eos>"}

    assert taught(tmp_path, [row], None, begins=True)[0] == [("<bos>why?so.<eos>", "so.<eos>")]


def test_a_chat_begins_once_though_tokenizer_and_template_both_write_the_beginning(tmp_path: Path) -> None:
    rows, _ = taught(tmp_path, [chat(ASKED, ANSWERED)], "<bos>" + CHATML, begins=True)

    assert rows == [("<bos>" + user("why?") + assistant("so."), "so.<|im_end|>")]


# --- The format that is asked for


@pytest.mark.parametrize(
    ("row", "settings", "code", "told", "hint"),
    [
        (
            {"instructions": "a", "output": "b"}, {"format": "alpaca"}, ExitCode.DATA,
            "dataset.format: alpaca needs column 'instruction', and split 'train' has only instructions, output; "
            "did you mean 'instructions'?",
            "dataset.columns.prompt",
        ),
        (
            {"text": "a"}, {"format": "sharegpt"}, ExitCode.DATA,
            "dataset.format: sharegpt needs column 'conversations', and split 'train' has only text", "dataset.columns.messages",
        ),
        (
            {"text": "a"}, {"format": "text", "columns": {"messages": "text"}}, ExitCode.BAD_CONFIGURATION,
            "dataset.columns: messages cannot go with dataset.format: text", "leave out one or the other",
        ),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c"}, {}, ExitCode.DATA,
            "split 'train' has no column 'text', only prompt, chosen, rejected", "pairs of a chosen and a rejected answer",
        ),
        (
            {"role": "user", "content": "b"}, {}, ExitCode.DATA,
            "split 'train' has no column 'text', only role, content", "each row is a turn, and not a chat",
        ),
        (
            {"question": "a", "answer": "b"}, {}, ExitCode.DATA,
            "split 'train' has no column 'text', only question, answer", "set dataset.columns.prompt to question and",
        ),
    ],
)  # fmt: skip
def test_columns_that_do_not_fit_the_format_are_named(
    tmp_path: Path, row: dict[str, Any], settings: dict[str, Any], code: ExitCode, told: str, hint: str
) -> None:
    error = refused(tmp_path, [row], **settings)

    assert error.exit_code == code
    assert error.message.startswith(told)
    assert hint in (error.hint or "")


def test_the_format_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    row = {**ALPACA[0], **chat(ASKED, ANSWERED), "text": "all"}

    assert taught(tmp_path, [row], None, format="text")[0] == [("all<eos>", "ll<eos>")]
    assert taught(tmp_path, [row], None, format="alpaca")[0] == [(f"{STANFORD[0]}bonjour<eos>", "bonjour<eos>")]
    assert taught(tmp_path, [row], format="messages")[0] == [(user("why?") + assistant("so."), "so.<|im_end|>")]


def test_a_text_that_looks_like_a_time_is_learnt_as_a_text(tmp_path: Path) -> None:
    assert taught(tmp_path, [chat(("user", "2024-01-01"), ("assistant", "2024-01-02"))])[0] == [
        (user("2024-01-01") + assistant("2024-01-02"), "2024-01-02<|im_end|>")
    ]


def test_a_time_in_place_of_a_text_is_named(tmp_path: Path) -> None:
    rows = [chat(("user", datetime(2024, 1, 1, tzinfo=UTC)), ("assistant", datetime(2024, 1, 2, tzinfo=UTC)))]

    error = refused(tmp_path, write_parquet(tmp_path / "rows.parquet", rows))

    assert (error.exit_code, error.reason) == (ExitCode.DATA, "BadChat")
    assert "it holds a time (2024-01-01 00:00:00" in error.message


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


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        (
            {"question": "why?", "answer": "so."},
            "set dataset.columns.prompt to question and dataset.columns.completion to answer, if these are what is asked and answered",
        ),
        (
            {"id": "1", "input": "why?", "output": "so."},
            "set dataset.columns.prompt to input and dataset.columns.completion to output, if these are what is asked and answered",
        ),
        (
            {"data": [chat(ASKED, ANSWERED)]},
            "the rows seem to be within 'data': write them as a list, or one object a line (jsonl)",
        ),
        (
            {"a": "why?"},
            "name the columns in dataset.columns, and set dataset.format to how they are written: text, prompt-completion, messages, "
            "sharegpt or alpaca",
        ),
    ],
)
def test_columns_of_no_known_name_are_told_with_how_to_name_them(
    tmp_path: Path, row: dict[str, Any], hint: str
) -> None:
    error = refused(tmp_path, [row, row])

    assert (error.reason, error.hint) == ("ColumnNotFound", hint)
