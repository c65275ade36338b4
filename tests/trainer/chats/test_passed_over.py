"""What the chat template passes over in silence is warned of."""

from pathlib import Path
from typing import Any

import pytest
from tests.trainer.chats.teaching import ANSWERED, ASKED, CALLS, TOOL, assistant, chat, taught, user
from tests.trainer.tiny_language import CHATML


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


def test_a_person_who_writes_of_thoughts_does_not_count_among_those_who_have_them(tmp_path: Path) -> None:
    last_alone = CHATML.replace("m['content']", "(m['content'] if loop.last else m['content'].split('</think>')[-1])")
    thinking = ("assistant", "<think>hm</think>so.")
    asked_of_it = chat(("user", "what is </think>?"), thinking)

    _, told = taught(tmp_path, [asked_of_it, chat(ASKED, thinking, ASKED, thinking)], last_alone)

    assert [reason for reason, _ in told] == ["NotInTemplate"]
    assert "the first is row 2 of split 'train'" in told[0][1]


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


def test_turns_of_the_user_that_the_template_passes_over_are_warned_of(tmp_path: Path) -> None:
    template = "{% set m = messages[-1] %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>"

    _, told = taught(tmp_path, [chat(ASKED, ANSWERED)], template)

    assert ("NotInTemplate", "turns of user are not written by the model's chat template") in [
        (reason, message.split(": ")[1].split(", so that")[0]) for reason, message in told if ": " in message
    ]
