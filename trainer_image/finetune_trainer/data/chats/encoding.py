"""Rows of causal-lm to tokens, with a mark on those that are learnt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase as Tokenizer
from trl.data_utils import common_prefix_length

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import data_error, model_error
from finetune_trainer.base.text import is_blank
from finetune_trainer.base.time_limit import came_on
from finetune_trainer.data.chats.conversations import (
    Chat,
    ChatError,
    has_system,
    instruction_chat,
    instruction_prompt,
    is_kept_as_json,
    is_written_chat,
    loses_nulls,
    read_answer,
    read_chat,
    unknown_roles,
    without_nulls,
)
from finetune_trainer.data.chats.ends import check_end_of_turn, check_template
from finetune_trainer.data.chats.formats import Layout, is_chat
from finetune_trainer.data.chats.notes import (
    EMPTY_ANSWER,
    EMPTY_QUESTION,
    MARK,
    NOT_LEARNT,
    NULLS,
    RENAMED,
    ROLE,
    SYSTEM_TWICE,
)
from finetune_trainer.data.chats.passed_over import parts_of, turns_with
from finetune_trainer.data.chats.template import find_chat_template
from finetune_trainer.data.columns import check_text, example, kind_of
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.tokenizing import Batch, encode_texts, without_outer_blanks
from finetune_trainer.models.tokenizer import tokenizer_limit


@dataclass(frozen=True)
class Encoded:
    """A row."""

    tokens: list[int]
    marks: list[bool]
    """Of each token: whether it is learnt."""
    notes: Sequence[str] = ()
    """What is to be reported of the row: constants of `notes`, or what of a chat its template passes over."""


_SOME = 20
"""Rows that are looked at for what all are."""
Encode = Callable[[Batch, list[int]], list[Encoded]]


@dataclass(frozen=True)
class Settings:
    """How rows are written and what of them is learnt."""

    tokenizer: Tokenizer
    model: str
    """Its source, for messages."""
    answers_only: bool
    cut: int | None
    """So many tokens of a row are used; None for all."""


def learns_chats(rows: Rows, layout: Layout, tokenizer: Tokenizer) -> bool:
    """Whether the model's chat template writes the rows: chats, prompts and completions that are turns, and instructions
    where it has one."""
    if layout.format == "alpaca":
        return bool(tokenizer.chat_template)
    if layout.format == "prompt-completion":
        return is_chat(rows.dataset.features.get(layout.columns["prompt"]))
    return layout.format in ("messages", "sharegpt")


def encoder(rows: Rows, layout: Layout, settings: Settings) -> Encode:
    """What makes tokens of the rows.

    Raises:
        TrainerError: DATA for a column of another type; MODEL for a model that lacks what the form needs.
    """
    if layout.format == "prompt-completion":
        _check_alike(rows, layout)
    if layout.format == "alpaca" or not learns_chats(rows, layout, settings.tokenizer):
        for field, column in layout.columns.items():
            check_text(rows, field, column)
            _check_no_written_chats(rows, column)
    if learns_chats(rows, layout, settings.tokenizer):
        return _chats(rows, layout, settings)
    return _texts(rows, layout, settings) if layout.format == "text" else _answers(rows, layout, settings)


def _check_alike(rows: Rows, layout: Layout) -> None:
    """Prompts and completions are both texts, or both turns."""
    features, (prompt, completion) = rows.dataset.features, layout.columns.values()
    if is_chat(features[prompt]) != is_chat(features[completion]):
        turns, other = (prompt, completion) if is_chat(features[prompt]) else (completion, prompt)
        raise data_error(
            Reason.COLUMN_TYPE,
            f"column '{turns}' of split '{rows.split}' holds turns, and '{other}' holds {kind_of(features[other])}",
            "write prompt and completion both as text, or both as lists of {role, content}",
        )


def _check_no_written_chats(rows: Rows, column: str) -> None:
    """Turns that are written as JSON would be learnt as what is written."""
    if all(map(is_written_chat, rows.dataset[:_SOME][column])):
        raise data_error(
            Reason.LIST_AS_TEXT,
            f"column '{column}' of split '{rows.split}' holds turns that are written as text ({example(rows, column)})",
            "for a whole chat set dataset.columns.messages to that column; write a prompt and its completion as lists of {role, "
            "content}, in jsonl or parquet",
        )


def _texts(rows: Rows, layout: Layout, settings: Settings) -> Encode:
    column, tokens_of = layout.columns["text"], _Tokens(settings)

    def encode(batch: Batch, indices: list[int]) -> list[Encoded]:
        _check_filled(rows, column, batch, indices)
        return [Encoded(tokens, [True] * len(tokens)) for tokens in tokens_of(batch[column], ends=True)]

    return encode


def _answers(rows: Rows, layout: Layout, settings: Settings) -> Encode:
    columns, tokens_of = layout.columns, _Tokens(settings)

    def encode(batch: Batch, indices: list[int]) -> list[Encoded]:
        _check_filled(rows, columns["completion"], batch, indices)
        prompts = _prompts(batch, layout)
        asked = tokens_of(prompts, ends=False)
        # In one piece, as the model meets it when it answers: the tokens at the seam may be others.
        answers = map(tokens_of.without_beginning, prompts, batch[columns["completion"]])
        texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        whole = tokens_of(texts, ends=True)
        starts = [
            common_prefix_length(*pair) if settings.answers_only else 0 for pair in zip(asked, whole, strict=True)
        ]
        return [
            Encoded(tokens, [n >= start for n in range(len(tokens))])
            for tokens, start in zip(whole, starts, strict=True)
        ]

    return encode


def _prompts(batch: Batch, layout: Layout) -> list[str]:
    prompts: list[str] = batch[layout.columns["prompt"]]
    if layout.format != "alpaca":
        return prompts
    beside = zip(_beside(batch, layout, "input"), _beside(batch, layout, "system"), strict=True)
    return [instruction_prompt(asked, *given) for asked, given in zip(prompts, beside, strict=True)]


def _chats(rows: Rows, layout: Layout, settings: Settings) -> Encode:
    with tokenizer_limit("no chat is written"):
        template = find_chat_template(settings.tokenizer, settings.model)
        check_template(template, settings.model, settings.answers_only)
        check_end_of_turn(template, settings.model, settings.answers_only)
    features = rows.dataset.features
    with_nulls = (layout.columns.get("messages", ""), layout.beside.get("tools", ""))
    exact = with_nulls if any(is_kept_as_json(features.get(column)) for column in with_nulls) else ()
    read, written = _reader(layout, settings), set[tuple[str, int]]()

    def encode_one(row: Mapping[str, Any]) -> Encoded:
        values = _plain(row, layout)
        read_as = read(values)
        chat = template.named(read_as)
        tokens, marks = template.render_marked(chat) if settings.answers_only else template.render_without(chat)
        # Of a second turn in a chat it is looked at anew: some templates write the first one, or the last one, alone.
        parts = {(part, turns_with(chat, part)) for part in parts_of(chat)}
        passed_over = [part for part, turns in parts - written if not template.writes(chat, part)]
        written.update((part, turns) for part, turns in parts if part not in passed_over)
        nulls = [NULLS] if exact and loses_nulls(*(row.get(column) for column in exact)) else []
        said = "\n".join(str(turn.get("content", "")) for turn in chat.messages)
        within = [f"{MARK}{mark}" for mark in template.marks if mark in said]
        odd = unknown_roles(chat) - set(passed_over)
        roles = [f"{ROLE}{role[:60]}" for role in sorted(odd) if not template.names(role)]
        return Encoded(tokens, marks, [*sorted(passed_over), *nulls, *within, *roles, *_notes(read_as, values, layout)])

    def encode(batch: Batch, indices: list[int]) -> list[Encoded]:
        encoded = []
        for row, index in enumerate(indices):
            try:
                encoded.append(encode_one({column: values[row] for column, values in batch.items()}))
            except ChatError as error:
                column = layout.column_of(error.field)
                where = f"column '{column}', {rows.name_row(index)}"
                raise data_error(Reason.BAD_CHAT, f"{where}: {error.problem}", error.hint) from error
            came_on()  # a chat of sixty turns, of which each is found by writing those before it, takes seconds
        return encoded

    return encode


def _plain(row: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """The row without nulls within its values."""
    values = {}
    for column, value in row.items():
        try:
            values[column] = without_nulls(value)
        except ChatError as error:
            raise ChatError(error.problem, error.hint, layout.field_of(column)) from error
    return values


def _reader(layout: Layout, settings: Settings) -> Callable[[Mapping[str, Any]], Chat]:
    columns, beside = layout.columns, layout.beside

    def read(row: Mapping[str, Any]) -> Chat:
        tools, system = (row.get(beside.get(name, "")) for name in ("tools", "system"))
        if layout.format == "alpaca":
            given = row.get(beside.get("input", ""))
            return instruction_chat(row[columns["prompt"]], given, row[columns["completion"]], system)
        if layout.format == "prompt-completion":
            prompt, completion = row[columns["prompt"]], row[columns["completion"]]
            return read_answer(prompt, completion, not settings.answers_only, tools, system)
        return read_chat(row[columns["messages"]], tools, system)

    return read


def _notes(chat: Chat, row: Mapping[str, Any], layout: Layout) -> list[str]:
    system = row.get(layout.beside.get("system", ""))
    first = chat.messages[0]
    notes = [NOT_LEARNT] if not any(chat.learnt) else []
    answers = [turn for turn, learnt in zip(chat.messages, chat.learnt, strict=True) if learnt]
    if any(is_blank(turn.get("content", "")) and "tool_calls" not in turn for turn in answers):
        notes.append(EMPTY_ANSWER)
    if any(turn["role"] == "user" and is_blank(str(turn.get("content", ""))) for turn in chat.messages):
        notes.append(EMPTY_QUESTION)
    if system and has_system(chat) and first != {"role": "system", "content": system}:
        notes.append(SYSTEM_TWICE)
    turns = row.get(layout.columns.get("messages", ""))
    if layout.format == "messages" and isinstance(turns, list):
        roles = {turn["role"] for turn in chat.messages} | {"function"}
        notes += [RENAMED] if any(turn.get("role", "user") not in roles for turn in turns) else []
    return notes


def _beside(batch: Batch, layout: Layout, name: str) -> list[Any]:
    """The values of a column beside, None where there is none."""
    rows = len(next(iter(batch.values())))
    return batch[layout.beside[name]] if name in layout.beside else [None] * rows


def _check_filled(rows: Rows, column: str, batch: Batch, indices: list[int]) -> None:
    for text, index in zip(batch[column], indices, strict=True):
        if is_blank(text):
            raise data_error(
                Reason.EMPTY_TEXT, f"column '{column}' has nothing to learn in {rows.name_row(index)}", "drop the row"
            )


class _Tokens:
    """Texts to tokens, each with one beginning and one end of text at the most, whether the text has them already."""

    def __init__(self, settings: Settings) -> None:
        self._tokenizer, self._cut = settings.tokenizer, settings.cut
        end: int | None = self._tokenizer.eos_token_id
        if end is None:
            raise model_error(
                Reason.NO_END_OF_TEXT,
                f"the tokenizer of {settings.model} has no end-of-text token, so that the model cannot learn to stop",
                "save it with one: tokenizer.eos_token = '</s>'",
            )
        self._end = end
        added: list[int] = self._tokenizer("")["input_ids"]
        self._begin = self._tokenizer.bos_token_id if added[:1] == [self._tokenizer.bos_token_id] else None

    def __call__(self, texts: Sequence[str], ends: bool) -> list[list[int]]:
        """Tokens of each text, at least as many as are used where there are so many; with `ends` the last one is the end
        of text, by which a model learns to stop."""
        cut = {"truncation": False}
        given = [without_outer_blanks(text, self._tokenizer, behind=ends) for text in texts]
        encoded: list[list[int]] = encode_texts(self._tokenizer, {"text": given}, cut, self._cut)["input_ids"]
        once = [
            tokens[1:] if self._begin is not None and tokens[:2] == [self._begin] * 2 else tokens for tokens in encoded
        ]
        return [self._ended(tokens) for tokens in once] if ends else once

    def without_beginning(self, prompt: str, answer: str) -> str:
        """The answer without a beginning of text of its own, where that of the prompt stands before both."""
        begin = str(self._tokenizer.bos_token)
        kept = without_outer_blanks(answer, self._tokenizer, behind=False)
        return (
            kept.removeprefix(begin)
            if self._begin is not None and prompt.strip() and kept.startswith(begin)
            else answer
        )

    def _ended(self, tokens: list[int]) -> list[int]:
        while tokens[-2:] == [self._end] * 2:
            tokens = tokens[:-1]
        return tokens if tokens[-1:] == [self._end] else [*tokens, self._end]
