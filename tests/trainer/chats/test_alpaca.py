"""Alpaca's instructions are learnt, with and without a chat template."""

from pathlib import Path
from typing import Any

import pytest
from tests.trainer.chats.teaching import ALPACA, STANFORD, assistant, taught, user


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
