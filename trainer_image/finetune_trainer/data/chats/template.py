"""Chats to tokens by the model's own template, with a mark on the turns of the assistant."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase as Tokenizer
from trl.chat_template_utils import get_training_chat_template, has_generation_markers
from trl.data_utils import common_prefix_length

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.text import listed
from finetune_trainer.data.chats.conversations import (
    ASSISTANT,
    SPEAKERS,
    SYSTEM,
    Chat,
    ChatError,
    Message,
    role_meant,
    unknown_roles,
)
from finetune_trainer.data.chats.passed_over import each_without, parts_of
from finetune_trainer.data.chats.spellings import in_parts, spellings

REFUSALS = (TemplateError, TypeError, ValueError, KeyError)
ASKED: Message = {"role": "user", "content": "why"}
PROBES = ("yes", "no")
"""Two answers without a letter in common at either end."""
_OPENINGS = (
    Chat([], []),
    Chat([{"role": SYSTEM[0], "content": "be good"}], [False]),
    Chat([], [], [{"type": "function", "function": {"name": "look", "description": "", "parameters": {}}}]),
)
MARK = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
"""What is meant as a token, and no word: `<|im_end|>`, `</s>`, `[END]`."""


@dataclass(frozen=True)
class ChatTemplate:
    """How a model's chats are written."""

    tokenizer: Tokenizer
    text: str | None
    """Jinja; None for that of the tokenizer."""
    marked: bool
    """Whether it marks the assistant's words itself, by `{% generation %}`."""

    def render(self, chat: Chat) -> list[int]:
        """The tokens of the whole chat."""
        return self._tokens(chat)

    def text_of(self, *messages: Message) -> str:
        """A `probe` as text."""
        return self._text_of(self.probe(*messages))

    def probe(self, *messages: Message) -> Chat:
        """A chat of these turns to try it with, after a system turn or with tools where it writes none without."""
        turns = [*self._opening.messages, *messages]
        return replace(self._opening, messages=turns, learnt=[turn["role"] == ASSISTANT for turn in turns])

    def render_marked(self, chat: Chat) -> tuple[list[int], list[bool]]:
        """The tokens of the whole chat, and which are learnt: what the assistant says in the turns that are to be
        learnt, up to the token that ends the turn. What a template writes after that, such as a line break, the model
        never has to write.

        Raises:
            ChatError: When the template refuses the chat, or its turns cannot be separated.
        """
        whole, marks = self._marked(chat)
        kept = [False] * len(whole)
        for start, end in _runs(marks):
            begins, ends = self._start_of(whole, start), self._end_of(whole, start, end)
            kept[begins:ends] = marks[begins:ends]
        return whole, kept

    def render_without(self, chat: Chat) -> tuple[list[int], list[bool]]:
        """The tokens of the whole chat, and all of them marked but for the assistant's turns that are not to be learnt.

        Raises:
            ChatError: As `render_marked`.
        """
        whole = self._tokens(chat)
        marks = [True] * len(whole)
        self._unmark(chat, whole, marks)
        return whole, marks

    @cached_property
    def end_of_turn(self) -> int | None:
        """The token by which the assistant ends a turn that others follow; None where none is learnt."""
        return next((token for token in reversed(self._ends) if not self._is_blank(token)), None)

    @property
    def stop_token(self) -> int | None:
        """`end_of_turn` where it is a token of its own, at which generation can stop, and no word."""
        end = self.end_of_turn
        if end is None or end == self.tokenizer.unk_token_id:
            return None
        own = end in self.tokenizer.added_tokens_decoder or end in self.tokenizer.all_special_ids
        return end if own or MARK.fullmatch(str(self.tokenizer.decode([end]))) else None

    def ends_text(self, everywhere: bool) -> bool:
        """Whether an answer is followed by the end of text; where not `everywhere`, if it is the last one of a chat."""
        try:
            return self.tokenizer.eos_token_id in (self._ends if everywhere else self._last_end())
        except ChatError:
            return False

    @cached_property
    def marks(self) -> set[str]:
        """What parts turns and ends texts, as it is written: special tokens, and no words such as <think>."""
        added = {token for token, what in self.tokenizer.added_tokens_decoder.items() if what.special}
        own = {*added, *self.tokenizer.all_special_ids} - {self.tokenizer.unk_token_id}
        parting = {self.end_of_turn, *self.prompt, self.tokenizer.bos_token_id, self.tokenizer.eos_token_id}
        return {str(self.tokenizer.convert_ids_to_tokens(token)) for token in own & parting}

    @cached_property
    def prompt(self) -> list[int]:
        """What is written to ask for an answer."""
        asked = self.probe(ASKED)
        try:
            prompted = self._tokens(asked, add_generation_prompt=True)
            return prompted[common_prefix_length(self._tokens(asked), prompted) :]
        except ChatError:
            return []

    def named(self, chat: Chat) -> Chat:
        """With a system turn where OpenAI says developer and the template does not know that."""
        if all(turn["role"] != "developer" for turn in chat.messages):
            return chat
        if "developer" in str(self.text or self.tokenizer.chat_template):
            return chat
        turns = [{**turn, "role": "system"} if turn["role"] == "developer" else turn for turn in chat.messages]
        return replace(chat, messages=turns)

    def names(self, role: str) -> bool:
        """Whether it does something of its own for a role."""
        text = str(self.text or self.tokenizer.chat_template)
        return f"'{role}'" in text or f'"{role}"' in text

    def writes(self, chat: Chat, part: str) -> bool:
        """Whether it does not pass over one of `parts_of` the chat in silence, in any turn."""
        try:
            whole = self._tokens(chat)
            return all(self._tokens(other) != whole for other in each_without(chat, part))
        except ChatError:
            return True

    def _marked(self, chat: Chat) -> tuple[list[int], list[bool]]:
        if self.marked:
            encoded = self._apply(chat, return_assistant_tokens_mask=True)
            whole, marks = encoded["input_ids"], [bool(mark) for mark in encoded["assistant_masks"]]
            self._unmark(chat, whole, marks)
            return whole, marks
        whole = self._tokens(chat)
        marks = [False] * len(whole)
        for turn, learnt in enumerate(chat.learnt):
            if learnt:
                start, end = self._place(chat, turn, whole)
                marks[start:end] = [True] * (end - start)
        return whole, marks

    def _unmark(self, chat: Chat, whole: list[int], marks: list[bool]) -> None:
        for turn, message in enumerate(chat.messages):
            if message["role"] == ASSISTANT and not chat.learnt[turn]:
                start, end = self._place(chat, turn, whole)
                marks[start:end] = [False] * (end - start)

    def _place(self, chat: Chat, turn: int, whole: list[int]) -> tuple[int, int]:
        """Where the assistant's words of a turn begin, and where the next turn does.

        Raises:
            ChatError: When it does not show in what the template writes.
        """
        return self._begin(chat, turn, whole), self._next(chat, turn, whole)

    def _begin(self, chat: Chat, turn: int, whole: list[int]) -> int:
        """After the prompt for the turn; where there is no such prompt, where another answer would be written."""
        try:
            before = self._tokens(_up_to(chat, turn), add_generation_prompt=True) if turn else []
        except ChatError:  # such as for a system turn alone
            before = []
        begin = common_prefix_length(before, whole)
        if before and begin >= len(before) - len(self.prompt):
            return begin
        return common_prefix_length(self._tokens(_with_other(chat, turn)), whole)

    def _next(self, chat: Chat, turn: int, whole: list[int]) -> int:
        """Where a chat ends that ends with the turn; where that is written in another way, after the next end of turn."""
        try:
            after = self._tokens(_up_to(chat, turn + 1))
        except ChatError:  # such as of a chat in which no user speaks
            after = None
        if after is not None:
            end = common_prefix_length(after, whole)
            # Some templates end the text, with special tokens, after whatever turn is the last one.
            if self._special.issuperset(after[end:]):
                return end
        words = len(whole) - len(_shared_end(self._tokens(_with_other(chat, turn)), whole))
        if self.end_of_turn in whole[words:]:
            return whole.index(self.end_of_turn, words) + 1
        raise ChatError(
            "the model's chat template writes a turn in another way when more turns follow",
            "set preprocessing.completionOnlyLoss to false (and take weight and train from the turns), or put "
            "{% generation %} around what the assistant says in the model's chat template",
        )

    def _marked_end(self) -> list[int]:
        """What is marked after an answer."""
        chats = (self.probe(ASKED, answered(word), ASKED) for word in PROBES)
        (first, marks), (second, others) = map(self._marked, chats)
        if first == second:  # the tokenizer knows neither word
            return self._written_end()
        words = common_prefix_length(first, second)
        until, other = (
            next((end for start, end in _runs(of) if start <= words < end), words) for of in (marks, others)
        )
        return _shared_end(first[words:until], second[words:other])

    @cached_property
    def _ends(self) -> list[int]:
        """What is learnt after an answer that others follow; empty where nothing is."""
        try:
            return self._marked_end() if self.marked else self._written_end()
        except ChatError:
            return []

    def _last_end(self) -> list[int]:
        """What is written after the last answer."""
        return _shared_end(*(self._tokens(self.probe(ASKED, answered(word))) for word in PROBES))

    def _written_end(self) -> list[int]:
        """What is written after an answer whether or not a question follows."""
        last = self._last_end()
        followed = _shared_end(*(self._tokens(self.probe(ASKED, answered(word), ASKED)) for word in PROBES))
        return last[: common_prefix_length(last, followed)]

    def _start_of(self, whole: list[int], start: int) -> int:
        """Where the words begin that are marked from `start` on: after the prompt for them, of which some templates mark
        a part."""
        for before in range(min(len(self.prompt), start), -1, -1):
            if whole[start - before : start] == self.prompt[:before]:
                return start - before + max(before, common_prefix_length(self.prompt, whole[start - before :]))
        return start

    def _end_of(self, whole: list[int], start: int, end: int) -> int:
        """Where a turn ends that is marked from `start` to `end`: after the last token that ends turns, if but blanks
        and special tokens follow it."""
        for place in range(end - 1, start - 1, -1):
            if whole[place] == self.end_of_turn:
                return place + 1
            if whole[place] not in self._special and not self._is_blank(whole[place]):
                break
        return end

    @cached_property
    def _special(self) -> set[int]:
        return set(self.tokenizer.all_special_ids)

    def _is_blank(self, token: int) -> bool:
        return not str(self.tokenizer.decode([token])).strip()

    @cached_property
    def _wants_parts(self) -> bool:
        """Whether it takes contents as lists of parts alone, as those of models that see."""
        texts = [{"role": "user", "content": answer} for answer in PROBES]
        try:
            if len({self._write([turn]) for turn in texts}) > 1:
                return False
        except REFUSALS:
            pass
        try:
            return len({self._write([in_parts(turn)]) for turn in texts}) > 1
        except REFUSALS:
            return False

    @cached_property
    def _opening(self) -> Chat:
        for opening in _OPENINGS:
            try:
                turns = [*opening.messages, ASKED, answered(PROBES[0])]
                self._text_of(replace(opening, messages=turns))
            except REFUSALS:
                continue
            return opening
        return _OPENINGS[0]

    def _text_of(self, chat: Chat) -> str:
        turns = [in_parts(message) for message in chat.messages] if self._wants_parts else chat.messages
        return self._write(turns, chat.tools)

    def _write(self, messages: list[Message], tools: Any = None) -> str:
        return str(self.tokenizer.apply_chat_template(messages, chat_template=self.text, tools=tools, tokenize=False))

    def _tokens(self, chat: Chat, **options: Any) -> list[int]:
        return self._apply(chat, **options)["input_ids"]

    def _apply(self, chat: Chat, **options: Any) -> dict[str, list[int]]:
        tools: Any = chat.tools
        refusals: list[Exception] = []
        for messages in spellings(chat.messages):
            turns = [in_parts(message) for message in messages] if self._wants_parts else messages
            try:
                encoded: Any = self.tokenizer.apply_chat_template(
                    turns, chat_template=self.text, tools=tools, tokenize=True, return_dict=True, **options
                )
            except REFUSALS as error:
                refusals.append(error)
            else:
                return dict(encoded)
        refused = refusals[:2][-1]  # of calls that with a content, since a missing one is none of the user's mistakes
        raise ChatError(f"the model's chat template refuses it: {refused}", remedy(str(refused), chat)) from refused


def answered(words: str) -> Message:
    return {"role": ASSISTANT, "content": words}


def find_chat_template(tokenizer: Tokenizer, source: str) -> ChatTemplate:
    """The template of the model `source`, in trl's version for training where there is one.

    Raises:
        TrainerError: MODEL when it has none, or none for chats.
    """
    if not tokenizer.chat_template:
        raise model_error(
            Reason.NO_CHAT_TEMPLATE,
            f"the tokenizer of {source} has no chat template, so it is not known how chats are written",
            "use the chat or instruct version of the model, save the tokenizer with a chat_template, or give "
            "dataset.columns.prompt and completion instead of messages",
        )
    if isinstance(tokenizer.chat_template, dict) and "default" not in tokenizer.chat_template:
        raise unfit(source, f"has none that is called default, only {listed(sorted(tokenizer.chat_template))}")
    try:
        text = get_training_chat_template(tokenizer) if tokenizer.is_fast else None
    except REFUSALS:
        # Not one that trl knows, or one with calls of tools that it does not like.
        marked = tokenizer.is_fast and has_generation_markers(tokenizer.chat_template)
        return ChatTemplate(tokenizer, None, marked)
    return ChatTemplate(tokenizer, text, marked=tokenizer.is_fast)


def unfit(source: str, why: str) -> TrainerError:
    return model_error(
        Reason.CHAT_TEMPLATE_UNFIT,
        f"the chat template of {source} {why}",
        "correct it in the model's chat_template.jinja or tokenizer_config.json, or use the chat or instruct version of the model",
    )


def remedy(refusal: str, chat: Chat) -> str:
    """What to do about a chat that a template refuses in these words."""
    if odd := sorted(unknown_roles(chat)):
        return f"drop the row, or call roles as the template knows them ({SPEAKERS}), and not {odd[0]!r}{role_meant(odd[0])}"
    text = refusal.lower()
    if any(role in text for role in SYSTEM):
        return "put what the system says into the first turn of the user, or leave it out"
    if parts_of(chat) & {"tool", "tools", "tool_calls"}:
        return "use a model whose chat template knows tools, or drop the row"
    if "alternat" in text:
        return "let user and assistant take turns, the user first: join turns of one that follow each other, or drop the row"
    return "give turns as the model expects them, or drop the row"


def _up_to(chat: Chat, turn: int) -> Chat:
    return replace(chat, messages=chat.messages[:turn], learnt=chat.learnt[:turn])


def _shared_end(first: list[int], second: list[int]) -> list[int]:
    return first[len(first) - common_prefix_length(first[::-1], second[::-1]) :]


def _runs(marks: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Beginning and end of each run of marks."""
    start = None
    for place, mark in enumerate([*marks, False]):
        if mark and start is None:
            start = place
        elif not mark and start is not None:
            yield start, place
            start = None


def _with_other(chat: Chat, turn: int) -> Chat:
    """The chat with another answer, that has no letter in common with that of the turn at either end."""
    content = str(chat.messages[turn].get("content", "")).strip()
    words = "".join("1" if letter == "0" else "0" for letter in (content[:1], content[-1:]))
    return replace(chat, messages=[*chat.messages[:turn], answered(words), *chat.messages[turn + 1 :]])
