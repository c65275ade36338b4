"""Chats to tokens by the model's own template, with a mark on what the assistant says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase as Tokenizer
from trl.chat_template_utils import (
    get_training_chat_template,
    has_generation_markers,
    is_chat_template_stop_token_trained,
)
from trl.data_utils import common_prefix_length

from finetune_trainer.failures import model_error

Message = dict[str, Any]
ASSISTANT = "assistant"


class ChatError(Exception):
    """A chat that cannot be learnt, with the reason for people and a remedy."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


@dataclass(frozen=True)
class ChatTemplate:
    """How a model's chats are written."""

    tokenizer: Tokenizer
    text: str | None
    """Jinja; None for that of the tokenizer."""
    marked: bool
    """Whether it tells the assistant's words itself, by `{% generation %}`."""

    def render(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of the whole chat."""
        return self._apply(messages)["input_ids"]

    def render_marked(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """The tokens of the whole chat, and which of them the assistant says, the end of each turn included.

        Raises:
            ChatError: When the template does not let its turns be told apart.
        """
        if self.marked:
            encoded = self._apply(messages, return_assistant_tokens_mask=True)
            return encoded["input_ids"], [bool(mark) for mark in encoded["assistant_masks"]]
        return self._marked_by_turns(messages)

    def _marked_by_turns(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """The assistant says what comes after the prompt for each of its turns, up to where the next turn begins."""
        whole = self.render(messages)
        marks = [False] * len(whole)
        for turn, message in enumerate(messages):
            if message["role"] != ASSISTANT:
                continue
            before = self._apply(messages[:turn], add_generation_prompt=True)["input_ids"] if turn else []
            after = self.render(messages[: turn + 1])
            start, end = common_prefix_length(before, whole), common_prefix_length(after, whole)
            # Some templates end the text, with special tokens, after whatever turn is the last one.
            if not set(after[end:]) <= set(self.tokenizer.all_special_ids):
                raise ChatError(
                    "the model's chat template writes a turn in another way when more turns follow",
                    "set preprocessing.completionOnlyLoss to false, or put {% generation %} around what the assistant "
                    "says in the model's chat template",
                )
            marks[start:end] = [True] * (end - start)
        return whole, marks

    def _apply(self, messages: Sequence[Message], **options: Any) -> dict[str, list[int]]:
        try:
            encoded: Any = self.tokenizer.apply_chat_template(
                list(messages), chat_template=self.text, tokenize=True, return_dict=True, **options
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            raise ChatError(
                f"the model's chat template refuses it: {error}",
                "give turns as the model expects them, or drop the row",
            ) from error
        return dict(encoded)


def find_chat_template(tokenizer: Tokenizer, source: str) -> ChatTemplate:
    """The template of the model `source`, in trl's version for training where there is one.

    Raises:
        TrainerError: MODEL when it has none.
    """
    if not tokenizer.chat_template:
        raise model_error(
            "NoChatTemplate",
            f"the tokenizer of {source} has no chat template, so it is not known how chats are written",
            "use the chat or instruct version of the model, save the tokenizer with a chat_template, or give "
            "dataset.columns.prompt and completion instead of messages",
        )
    try:
        text = get_training_chat_template(tokenizer) if tokenizer.is_fast else None
    except (TemplateError, ValueError, TypeError, KeyError):
        # Not one that trl knows, or one with calls of tools that it does not like.
        marked = tokenizer.is_fast and has_generation_markers(str(tokenizer.chat_template))
        return ChatTemplate(tokenizer, None, marked)
    return ChatTemplate(tokenizer, text, marked=tokenizer.is_fast)


def learns_to_stop(template: ChatTemplate) -> bool:
    """Whether the end of the assistant's turn is among its words, so that the model learns to end an answer."""
    return not template.marked or is_chat_template_stop_token_trained(template.tokenizer, template.text)


def check_messages(messages: Any) -> list[Message]:
    """The messages of a row, without the fields that are empty.

    Raises:
        ChatError: When they are no list of {role, content}, or the assistant says nothing.
    """
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ChatError("it is not a list of {role, content}", "see dataset.columns.messages")
    for number, message in enumerate(messages, start=1):
        if not isinstance(message.get("role"), str):
            keys = ", ".join(message)
            raise ChatError(
                f"message {number} has no role, only {keys}", "rename them to role (user, assistant, …) and content"
            )
        if not isinstance(message.get("content"), str) and not message.get("tool_calls"):
            raise ChatError(
                f"message {number} ({message['role']}) has no content that is text", "fill it in or drop the row"
            )
    if not any(message["role"] == ASSISTANT for message in messages):
        roles = ", ".join(dict.fromkeys(message["role"] for message in messages))
        said = f"only turns of {roles}" if roles else "no turns"
        raise ChatError(f"the assistant says nothing in it: there are {said}", "drop the row")
    return [{key: value for key, value in message.items() if value is not None} for message in messages]
