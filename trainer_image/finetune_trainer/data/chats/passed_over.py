"""What of a chat a model's template may pass over in silence, and chats without it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from finetune_trainer.data.chats.conversations import ASSISTANT, Chat, Message

THOUGHTS: Final = ("reasoning_content", "reasoning", "thinking")
"""Fields of a turn that hold what was thought before it was said."""
END_OF_THOUGHT: Final = "</think>"
"""What is before it in a content was thought."""


def parts_of(chat: Chat) -> set[str]:
    """What a template may pass over: `tools`, `tool_calls`, thoughts in fields and contents, and the roles that speak beside user and assistant."""
    roles = {turn["role"] for turn in chat.messages if turn.get("content")} - {ASSISTANT}
    calls = {"tool_calls"} if any("tool_calls" in turn for turn in chat.messages) else set()
    thoughts = {field for field in THOUGHTS if any(turn.get(field) for turn in chat.messages)}
    if any(map(_thinks_aloud, chat.messages)):
        thoughts.add(END_OF_THOUGHT)
    return roles | calls | thoughts | ({"tools"} if chat.tools else set())


def turns_with(chat: Chat, part: str) -> int:
    """How many turns have one of `parts_of` the chat."""
    if part == END_OF_THOUGHT:
        return sum(map(_thinks_aloud, chat.messages))
    return sum(bool(turn.get("content") if turn["role"] == part else turn.get(part)) for turn in chat.messages)


def _thinks_aloud(message: Message) -> bool:
    return message["role"] == ASSISTANT and END_OF_THOUGHT in message.get("content", "")


def each_without(chat: Chat, part: str) -> Iterator[Chat]:
    """The chat with one of `parts_of` left out, or saying something else: of one turn after the other."""
    if part == "tools":
        yield replace(chat, tools=None)
        return
    for turn, message in enumerate(chat.messages):
        other = _other(message, part)
        if other != message:
            yield replace(chat, messages=[*chat.messages[:turn], other, *chat.messages[turn + 1 :]])


def _other(message: Message, part: str) -> Message:
    if part in THOUGHTS:
        # Where a turn has them by two names, as some servers write them, a template that reads one of these writes them.
        return {key: value for key, value in message.items() if key not in THOUGHTS or not message.get(part)}
    if part == END_OF_THOUGHT:
        if not _thinks_aloud(message):
            return message
        return {**message, "content": message["content"].replace(END_OF_THOUGHT, f"?{END_OF_THOUGHT}")}
    if part == "tool_calls":
        left = {key: value for key, value in message.items() if key != part}
        return {**left, "content": left.get("content", "")} if part in message else message
    said = message["role"] == part and message.get("content")
    return {**message, "content": f"{message['content']}?"} if said else message
