"""What of a chat is learnt, with the chat templates of models that people train."""

from pathlib import Path

import pytest
import tokenizers
import transformers
import trl

from finetune_trainer.data.chat import ChatError, ChatTemplate, check_messages, find_chat_template, learns_to_stop

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
CHAT = [
    {"role": "user", "content": "red or blue?"},
    {"role": "assistant", "content": "Red."},
    {"role": "user", "content": "why?"},
    {"role": "assistant", "content": "It is warm."},
]


def byte_tokenizer(template: str) -> transformers.PreTrainedTokenizerFast:
    """A token for each byte, so that any template can be read back."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({byte: number for number, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", bos_token="<bos>")
    fast.chat_template = template
    return fast


def learnt(template: ChatTemplate) -> list[str]:
    """The pieces of the chat that are learnt."""
    tokens, marks = template.render_marked(CHAT)
    pieces: list[list[int]] = []
    for number, (token, mark) in enumerate(zip(tokens, marks, strict=True)):
        if mark and not (number and marks[number - 1]):
            pieces.append([])
        if mark:
            pieces[-1].append(token)
    return [template.tokenizer.decode(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("file", "marked", "end"),
    [
        ("llama3.jinja", True, "<|eot_id|>"),
        ("llama3_2.jinja", False, "<|eot_id|>"),  # trl has none with marks for it
        ("gemma3.jinja", True, "<end_of_turn>\n"),
        ("gemma4.jinja", False, "<turn|>\n"),
        ("qwen3_instruct_2507.jinja", True, "<|im_end|>\n"),
    ],
)
def test_answers_are_learnt_with_their_ends_whether_or_not_the_template_marks_them(
    file: str, marked: bool, end: str
) -> None:
    tokenizer = byte_tokenizer((TEMPLATES / file).read_text())

    template = find_chat_template(tokenizer, "a model")

    assert template.marked is marked
    assert learnt(template) == [f"Red.{end}", f"It is warm.{end}"]
    assert learnt(ChatTemplate(tokenizer, template.text, marked=False)) == [f"Red.{end}", f"It is warm.{end}"]


@pytest.mark.parametrize("file", ["phi3.jinja", "phi3_5.jinja"])
def test_what_a_template_writes_after_the_last_turn_alone_is_learnt_there(file: str) -> None:
    tokenizer = byte_tokenizer((TEMPLATES / file).read_text())

    assert learnt(find_chat_template(tokenizer, "a model")) == ["Red.<|end|>\n", "It is warm.<|end|>\n<eos>"]
    assert learnt(ChatTemplate(tokenizer, None, marked=False)) == ["Red.<|end|>\n", "It is warm.<|end|>\n<eos>"]


def test_turns_that_are_rewritten_when_more_follow_cannot_be_told_apart() -> None:
    tokenizer = byte_tokenizer((TEMPLATES / "qwen3.jinja").read_text())

    with pytest.raises(ChatError, match="in another way when more turns follow"):
        ChatTemplate(tokenizer, None, marked=False).render_marked(CHAT)


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


def test_a_template_that_marks_answers_without_their_end_is_known() -> None:
    turns = "{% for m in messages %}<{{ m.role }}>{% generation %}{{ m.content }}{% endgeneration %}<eos>{% endfor %}"

    assert not learns_to_stop(find_chat_template(byte_tokenizer(turns), "a model"))


def test_fields_that_are_empty_do_not_reach_the_template() -> None:
    call = [{"function": {"name": "look"}}]
    messages = [
        {"role": "user", "content": "why?", "tool_calls": None},
        {"role": "assistant", "content": None, "tool_calls": call},
    ]

    with pytest.raises(ChatError, match="has no content"):
        check_messages([{"role": "assistant", "content": None, "tool_calls": None}])
    assert check_messages(messages) == [
        {"role": "user", "content": "why?"},
        {"role": "assistant", "tool_calls": call},
    ]
