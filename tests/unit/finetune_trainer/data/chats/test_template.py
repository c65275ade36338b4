"""What of a chat is learnt, with the chat templates of models that people train."""

from pathlib import Path
from typing import Any

import pytest
import trl
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.trainer.tiny_language import CHATML, byte_tokenizer

from finetune_trainer.data.chats.conversations import ChatError, read_chat
from finetune_trainer.data.chats.passed_over import parts_of
from finetune_trainer.data.chats.template import ChatTemplate, find_chat_template

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "red or blue?"},
    {"role": "assistant", "content": "Red."},
    {"role": "user", "content": "why?"},
    {"role": "assistant", "content": "It is warm."},
]


# Written by hand, as many models have it: ChatML, a system prompt of its own, a plain text, and one that looks back.
OWN_SYSTEM = "{% if messages[0].role != 'system' %}<|im_start|>system\nbe good<|im_end|>\n{% endif %}" + CHATML
MARKED_CHATML = CHATML.replace(
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}",
    "{{ '<|im_start|>' + m['role'] }}{% if m.role == 'assistant' %}{% generation %}{{ '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endgeneration %}{% else %}{{ '\\n' + m['content'] + '<|im_end|>\\n' }}{% endif %}",
)
LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content + ' </s>' }}{% else %}"
    "{{ '<s>[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}"
)
FORGETFUL = (
    "{% for m in messages %}<{{ m.role }}> {% if m.role == 'assistant' and loop.last %}(last) {% endif %}"
    "{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant> {% endif %}"
)


def learnt(template: ChatTemplate, messages: Any = None, tools: Any = None) -> list[str]:
    """The pieces of the chat that are learnt."""
    tokens, marks = template.render_marked(read_chat(messages or CHAT, tools))
    return pieces(template, tokens, marks)


def pieces(template: ChatTemplate, tokens: list[int], marks: list[bool]) -> list[str]:
    found: list[list[int]] = []
    for number, (token, mark) in enumerate(zip(tokens, marks, strict=True)):
        if mark and not (number and marks[number - 1]):
            found.append([])
        if mark:
            found[-1].append(token)
    return [template.tokenizer.decode(piece) for piece in found]


@pytest.mark.parametrize(
    ("file", "marked", "end"),
    [
        ("llama3.jinja", True, "<|eot_id|>"),
        ("llama3_2.jinja", False, "<|eot_id|>"),  # trl has none with marks for it
        ("gemma3.jinja", True, "<end_of_turn>"),
        ("gemma4.jinja", False, "<turn|>"),
        ("qwen2_5.jinja", True, "<|im_end|>"),  # where trl marks the line break before the answer, too
        ("qwen3_instruct_2507.jinja", True, "<|im_end|>"),
        ("phi3.jinja", True, "<|end|>"),  # the last turn alone is followed by the end of text
    ],
)
def test_answers_are_learnt_up_to_what_ends_them_whether_or_not_the_template_marks_them(
    file: str, marked: bool, end: str
) -> None:
    tokenizer = byte_tokenizer((TEMPLATES / file).read_text())

    template = find_chat_template(tokenizer, "a model")

    assert template.marked is marked
    assert learnt(template) == [f"Red.{end}", f"It is warm.{end}"]
    assert learnt(ChatTemplate(tokenizer, template.text, marked=False)) == [f"Red.{end}", f"It is warm.{end}"]


@pytest.mark.parametrize("template", [CHATML, OWN_SYSTEM, MARKED_CHATML])
def test_neither_the_line_break_after_a_turn_nor_the_one_before_it_is_learnt(template: str) -> None:
    assert learnt(find_chat_template(byte_tokenizer(template), "a model")) == [
        "Red.<|im_end|>",
        "It is warm.<|im_end|>",
    ]


def test_the_token_that_ends_a_turn_is_found_and_is_none_where_no_turn_ends() -> None:
    tokenizer = byte_tokenizer(CHATML)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    endless = "{% for m in messages %}<{{ m.role }}>{% generation %}{{ m.content }}{% endgeneration %}<eos>{% endfor %}"

    assert find_chat_template(tokenizer, "a model").end_of_turn == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert find_chat_template(byte_tokenizer(endless), "a model").end_of_turn is None
    assert find_chat_template(byte_tokenizer(CHATML.replace("<|im_end|>", "")), "a model").end_of_turn is None


@pytest.mark.parametrize("template", [CHATML, OWN_SYSTEM, MARKED_CHATML])
def test_a_chat_that_the_assistant_begins_learns_its_words_and_not_what_the_template_puts_before_them(
    template: str,
) -> None:
    chat = [{"role": "assistant", "content": "0 is what?"}, *CHAT]

    assert learnt(find_chat_template(byte_tokenizer(template), "a model"), chat) == [
        "0 is what?<|im_end|>", "Red.<|im_end|>", "It is warm.<|im_end|>",
    ]  # fmt: skip


def test_turns_that_are_rewritten_when_more_follow_are_learnt_as_they_stand() -> None:
    rewritten = find_chat_template(byte_tokenizer(FORGETFUL), "a model")

    assert learnt(rewritten) == ["Red.</s>", "(last) It is warm.</s>"]


def test_turns_that_are_rewritten_and_have_no_end_cannot_be_distinguished() -> None:
    endless = byte_tokenizer(FORGETFUL.replace("</s>", ""))

    with pytest.raises(ChatError, match="in another way when more turns follow"):
        learnt(find_chat_template(endless, "a model"))


def test_marks_of_a_template_are_taken_though_it_writes_tools_in_its_own_way() -> None:
    tokenizer = byte_tokenizer(
        "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ m.tool_calls }}"
        "<eos>{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}{{ 'over' if not add_generation_prompt }}"
    )

    assert learnt(find_chat_template(tokenizer, "a model")) == ["Red.<eos>", "It is warm.<eos>"]


def test_thoughts_that_the_template_writes_are_learnt_with_the_answer() -> None:
    template = find_chat_template(byte_tokenizer((TEMPLATES / "qwen3.jinja").read_text()), "a model")

    assert [piece.split() for piece in learnt(template)] == [
        ["<think>", "</think>", "Red.<|im_end|>"],
        ["<think>", "</think>", "It", "is", "warm.<|im_end|>"],
    ]


def test_a_template_of_a_model_that_sees_gets_contents_in_parts() -> None:
    template = find_chat_template(byte_tokenizer((TEMPLATES / "smolvlm.jinja").read_text()), "a model")

    assert learnt(template) == [" Red.<end_of_utterance>", " It is warm.<end_of_utterance>"]


@pytest.mark.parametrize("file", [CHATML, MARKED_CHATML, (TEMPLATES / "llama3_1.jinja").read_text(), LLAMA_2])
@pytest.mark.parametrize("skipped", [{"weight": 0}, {"weight": 0.0}, {"train": False}, {"weight": 1, "train": False}])
def test_a_turn_without_weight_is_read_and_not_learnt(file: str, skipped: dict[str, Any]) -> None:
    template = find_chat_template(byte_tokenizer(file), "a model")
    chat = read_chat([CHAT[0], {**CHAT[1], **skipped}, CHAT[2], {**CHAT[3], "weight": 1, "train": True}])

    tokens, marks = template.render_marked(chat)

    assert tokens == template.render(read_chat(CHAT))
    assert [piece.strip()[: len("It is warm.")] for piece in pieces(template, tokens, marks)] == ["It is warm."]


@pytest.mark.parametrize("file", [CHATML, MARKED_CHATML])
def test_where_all_is_learnt_a_turn_without_weight_is_not(file: str) -> None:
    template = find_chat_template(byte_tokenizer(file), "a model")

    tokens, marks = template.render_without(read_chat([CHAT[0], {**CHAT[1], "weight": 0}, *CHAT[2:]]))

    assert [piece.replace("\n", "|") for piece in pieces(template, tokens, marks)] == [
        "<|im_start|>user|red or blue?<|im_end|>|<|im_start|>assistant|",
        "<|im_start|>user|why?<|im_end|>|<|im_start|>assistant|It is warm.<|im_end|>|",
    ]


CALL = {"type": "function", "function": {"name": "look", "arguments": '{"at": "sky", "n": null}'}}
TOOLS = [{"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}]
CALLS = [
    CHAT[0],
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "name": "look", "content": "blue"},
    {"role": "assistant", "content": "Blue."},
]


@pytest.mark.parametrize(
    ("file", "call"),
    [
        (
            "qwen2_5.jinja",
            '<tool_call>\n{"name": "look", "arguments": {"at": "sky", "n": null}}\n</tool_call><|im_end|>',
        ),
        ("llama3_1.jinja", '{"name": "look", "parameters": {"at": "sky", "n": null}}<|eot_id|>'),
    ],
)
def test_calls_are_learnt_with_their_arguments_as_an_object_and_tools_are_in_the_prompt(file: str, call: str) -> None:
    template = find_chat_template(byte_tokenizer((TEMPLATES / file).read_text()), "a model")

    tokens, marks = template.render_marked(read_chat(CALLS, TOOLS))

    assert pieces(template, tokens, marks)[0] == call
    assert "Look." in template.tokenizer.decode(tokens)
    assert all(template.writes(read_chat(CALLS, TOOLS), part) for part in ("tools", "tool_calls", "tool"))


def test_arguments_are_text_where_the_template_puts_them_together_as_text() -> None:
    joins = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ '[' + c.function.arguments + ']' }}{% endfor %}</s>{% endfor %}"
    template = find_chat_template(byte_tokenizer(joins), "a model")

    assert learnt(template, CALLS)[0] == '[{"at": "sky", "n": null}]</s>'


def test_what_a_template_passes_over_in_silence_is_known() -> None:
    template = find_chat_template(byte_tokenizer((TEMPLATES / "phi3.jinja").read_text()), "a model")
    chat = read_chat([{"role": "system", "content": "be"}, *CALLS], TOOLS)

    assert parts_of(chat) == {"system", "user", "tool", "tools", "tool_calls"}
    assert {part for part in parts_of(chat) if not template.writes(chat, part)} == {"tool", "tools", "tool_calls"}


def test_a_developer_s_turn_is_the_system_s_where_the_template_knows_no_other() -> None:
    chat = read_chat([{"role": "developer", "content": "be"}, *CHAT])
    knows = "{% for m in messages %}{{ m.role }}{{ 'developer' if false }}{% endfor %}"

    assert find_chat_template(byte_tokenizer(CHATML), "a model").named(chat).messages[0]["role"] == "system"
    assert find_chat_template(byte_tokenizer(knows), "a model").named(chat).messages[0]["role"] == "developer"


@pytest.mark.parametrize(
    ("file", "chat", "told", "hint"),
    [
        (
            "gemma.jinja",
            [{"role": "system", "content": "be"}, *CHAT],
            "System role not supported",
            "first turn of the user",
        ),
        ("gemma.jinja", CALLS, "Conversation roles must alternate", "a model whose chat template knows tools"),
        ("gemma.jinja", [CHAT[0], CHAT[0], CHAT[1]], "Conversation roles must alternate", "take turns, the user first"),
    ],
)
def test_what_a_template_refuses_is_reported_with_a_remedy(file: str, chat: Any, told: str, hint: str) -> None:
    template = find_chat_template(byte_tokenizer((TEMPLATES / file).read_text()), "a model")

    with pytest.raises(ChatError, match=told) as refused:
        learnt(template, chat)

    assert hint in refused.value.hint


WORDS = st.text("ab0 .?", min_size=1, max_size=8).filter(lambda text: text == text.strip())
FAMILIES = {
    "chatml": (CHATML, "{}<|im_end|>"),
    "own system": (OWN_SYSTEM, "{}<|im_end|>"),
    "marked": (MARKED_CHATML, "{}<|im_end|>"),
    "llama 2": (LLAMA_2, " {} </s>"),
    "llama 3.1": ((TEMPLATES / "llama3_1.jinja").read_text(), "{}<|eot_id|>"),
    "qwen 2.5": ((TEMPLATES / "qwen2_5.jinja").read_text(), "{}<|im_end|>"),
    "phi 3": ((TEMPLATES / "phi3.jinja").read_text(), "{}<|end|>"),
    "gemma": ((TEMPLATES / "gemma.jinja").read_text(), "{}<end_of_turn>"),
}


@pytest.mark.parametrize("family", sorted(FAMILIES))
@settings(max_examples=15)
@given(turns=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3))
def test_what_is_learnt_of_any_chat_is_what_the_assistant_says_and_what_ends_it(
    family: str, turns: list[tuple[str, str]]
) -> None:
    text, end = FAMILIES[family]
    chat = [message for asked, said in turns for message in conversation(asked, said)]

    assert learnt(find_chat_template(byte_tokenizer(text), "a model"), chat) == [end.format(said) for _, said in turns]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@settings(max_examples=15)
@given(turns=st.lists(st.tuples(WORDS, WORDS, st.booleans()), min_size=1, max_size=3))
def test_of_any_chat_the_turns_that_have_weight_are_learnt_and_all_are_read(
    family: str, turns: list[tuple[str, str, bool]]
) -> None:
    text, end = FAMILIES[family]
    template = find_chat_template(byte_tokenizer(text), "a model")
    plain = [message for asked, said, _ in turns for message in conversation(asked, said)]
    weighted = [{**m, "weight": int(turns[n // 2][2])} if n % 2 else m for n, m in enumerate(plain)]

    tokens, marks = template.render_marked(read_chat(weighted))

    assert tokens == template.render(read_chat(plain))
    assert pieces(template, tokens, marks) == [end.format(said) for _, said, wanted in turns if wanted]


def conversation(asked: str, said: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
