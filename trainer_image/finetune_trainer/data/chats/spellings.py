"""The ways in which chat templates want one and the same turn."""

import json
from collections.abc import Iterator

from finetune_trainer.data.chats.conversations import Message


def spellings(messages: list[Message]) -> Iterator[list[Message]]:
    """The turns, and how other templates want turns that call functions: with an empty content, with arguments as text
    (DeepSeek's), or both."""
    yield messages
    if not any("tool_calls" in message for message in messages):
        return
    filled = [{**message, "content": message.get("content", "")} for message in messages]
    yield filled
    yield [_with_text_arguments(message) for message in messages]
    yield [_with_text_arguments(message) for message in filled]


def in_parts(message: Message) -> Message:
    """The turn with its content as a list of one part, as templates of models that see want it."""
    if not isinstance(message.get("content"), str):
        return message
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def _with_text_arguments(message: Message) -> Message:
    if "tool_calls" not in message:
        return message
    calls = [
        {
            **call,
            "function": {
                **call["function"],
                "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False),
            },
        }
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}
