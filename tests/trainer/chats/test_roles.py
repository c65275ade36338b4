"""Who speaks is known by OpenAI's names, ShareGPT's and others, and who is not known is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.trainer.chats.teaching import (
    ANSWERED,
    ASKED,
    CALLED,
    TOOL,
    TOOLS_CHATML,
    assistant,
    chat,
    refused,
    taught,
    user,
)
from tests.trainer.tiny_language import CHATML

from finetune_api.report import ExitCode


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
