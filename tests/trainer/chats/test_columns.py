"""Which columns are learnt by which format, and what is said of the others."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.trainer.chats.teaching import (
    ALPACA,
    ANSWERED,
    ASKED,
    STANFORD,
    assistant,
    chat,
    refused,
    taught,
    user,
    write_parquet,
)
from tests.trainer.tiny_language import CHATML

from finetune_api.report import ExitCode


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
