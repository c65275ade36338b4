"""In which of the usual forms rows of causal-lm are written, and in which columns."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import datasets

from finetune_api.reasons import Reason
from finetune_api.sources import Columns, Format
from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.base.errors import TrainerError, bad_configuration, data_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import did_you_mean, listed, named
from finetune_trainer.data.missing_column import within_one
from finetune_trainer.data.rows import Rows

logger = logging.getLogger(__name__)

CHATS: Final = ("messages", "conversations", "conversation")
SYSTEMS: Final = ("system", "system_prompt")
TOOLS: Final = ("tools", "functions")
_USUAL: Final[dict[Format, dict[str, tuple[str, ...]]]] = {
    "text": {"text": ("text",)},
    "prompt-completion": {"prompt": ("prompt",), "completion": ("completion",)},
    "messages": {"messages": CHATS},
    "sharegpt": {"messages": ("conversations", "conversation", "messages")},
    "alpaca": {"prompt": ("instruction",), "completion": ("output",)},
}
"""Of each format: its fields of dataset.columns, and the columns that they are where none is named."""
_MEANT: Final = (
    *TOOLS, "instruction", "input", "output", "context", "history", "documents", "image", "images", "video",
    "videos", "audio", "audios", "chat_template_kwargs",
)  # fmt: skip
_PAIRS: Final = tuple(
    (asked, answered)
    for asked in ("question", "instruction", "prompt", "query", "input", "source")
    for answered in ("answer", "response", "output", "completion", "target")
)
"""Names of two columns that are often a prompt and its completion."""
_ELSE = "name the columns in dataset.columns, and set dataset.format to how they are written"


@dataclass(frozen=True)
class Layout:
    """The form of the rows, and the columns that are read."""

    format: Format
    """Never `auto`."""
    columns: dict[str, str]
    """By field of dataset.columns; no value may be missing."""
    beside: dict[str, str] = field(default_factory=dict)
    """`system`, `tools` and `input`, by what they are: columns whose values may be missing."""

    @property
    def all_columns(self) -> list[str]:
        return [*self.columns.values(), *self.beside.values()]

    def column_of(self, field: str) -> str:
        """The column of a field; the first that is read where the form has no such field."""
        return {**self.columns, **self.beside}.get(field) or next(iter(self.columns.values()))

    def field_of(self, column: str) -> str:
        return next(field for field, of in {**self.columns, **self.beside}.items() if of == column)


def find_layout(settings: DatasetSettings, rows: Rows) -> Layout:
    """The form that is asked for; else the one that the named columns have, and then the columns that are there.

    Raises:
        TrainerError: BAD_CONFIGURATION when columns are named that the form does not have; DATA when no column is there
            that can be learnt from.
    """
    features = rows.dataset.features
    form = _from_columns(settings.columns, features) if settings.format == "auto" else settings.format
    if form is None:
        raise _no_columns(rows)
    _check_named(form, settings)
    named = settings.columns.model_dump()
    columns: dict[str, str] = {
        name: named[name] or next((column for column in usual if column in features), usual[0])
        for name, usual in _USUAL[form].items()
    }
    missing = {name: column for name, column in columns.items() if column not in features}
    if missing and settings.format != "auto":
        raise _missing(settings.format, missing, rows)
    if form == "messages" and settings.format == "auto" and _is_sharegpt(rows, columns["messages"]):
        form = "sharegpt"
    _check_beside(form, columns, rows)
    return Layout(form, columns, _beside(form, columns, features))


def is_chat(feature: Any) -> bool:
    """Whether a column holds turns: dictionaries in a list."""
    return isinstance(feature, datasets.List | datasets.LargeList) and isinstance(feature.feature, dict | datasets.Json)


def is_text(feature: Any) -> bool:
    """Whether a column holds text, or nothing."""
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string", "null")


def unread(layout: Layout, features: Mapping[str, Any]) -> list[str]:
    """Columns that are not read though their names belong to what is learnt."""
    meant = {*CHATS, *SYSTEMS, *_MEANT}
    return [column for column in features if column in meant - set(layout.all_columns)]


def report_layout(layout: Layout, settings: DatasetSettings, rows: Rows) -> None:
    """Log the format and the columns that are read; warn of columns that look as if they were to be learnt, and are not."""
    chosen = f"dataset.format {layout.format}" + (", detected by the columns" if settings.format == "auto" else "")
    logger.info("learning from the columns %s (%s)", listed(layout.all_columns), chosen)
    if settings.format != "auto":
        return
    if layout.format == "prompt-completion" and _are_marks(rows.dataset.features.get("label")):
        warn(
            Reason.COLUMNS_NOT_READ,
            f"split '{rows.split}' is read as prompt-completion, and its column 'label' of true and false is not read: answers "
            "that it marks as bad are learnt like the others. Drop those rows, or set dataset.format to prompt-completion if all "
            "are to be learnt",
        )
    if left := unread(layout, rows.dataset.features):
        warn(
            Reason.COLUMNS_NOT_READ,
            f"split '{rows.split}' is read as {layout.format}, without its {_columns(left)}; set dataset.format to the "
            f"format that has what is to be learnt from, or to {layout.format}",
        )


def _are_marks(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and bool(feature.dtype == "bool")


def _from_columns(columns: Columns, there: Mapping[str, Any]) -> Format | None:
    if columns.messages:
        return "messages"
    if columns.prompt or columns.completion:
        return "alpaca" if columns.prompt == "instruction" and "input" in there else "prompt-completion"
    if columns.text != Columns().text:
        return "text"
    if "messages" in there:
        return "messages"
    if {"prompt", "completion"} <= set(there):
        return "prompt-completion"
    if columns.text in there:
        return "text"
    if any(column in there for column in CHATS):
        return "messages"
    return "alpaca" if {"instruction", "output"} <= set(there) else None


def _check_named(form: Format, settings: DatasetSettings) -> None:
    """Only columns that the form has are named."""
    named = [name for name in ("messages", "prompt", "completion") if getattr(settings.columns, name)]
    others = [name for name in named if name not in _USUAL[form]]
    if others and settings.format != "auto":
        raise bad_configuration(
            f"dataset.columns: {listed(others)} cannot go with dataset.format: {settings.format}",
            f"leave out one or the other; {settings.format} has {listed(_USUAL[form])}",
        )
    if others:
        raise bad_configuration(
            "dataset.columns: messages cannot go with prompt and completion", "leave out one or the other"
        )


def _beside(form: Format, columns: dict[str, str], there: Mapping[str, Any]) -> dict[str, str]:
    """The columns beside a chat or an instruction that are read too, where they are there."""
    found = {
        name: next((c for c in usual if c in there and (name == "tools" or is_text(there[c]))), None)
        for name, usual in _usual_beside(form, columns, there).items()
    }
    return {name: column for name, column in found.items() if column and column not in columns.values()}


def _usual_beside(form: Format, columns: dict[str, str], there: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    if form == "text" or (form == "prompt-completion" and not is_chat(there.get(columns["prompt"]))):
        return {}
    other: dict[str, tuple[str, ...]] = {"input": ("input",)} if form == "alpaca" else {"tools": TOOLS}
    return {"system": SYSTEMS, **other}


def _check_beside(form: Format, columns: dict[str, str], rows: Rows) -> None:
    """No column beside is left out since its type cannot be read, such as a map of parquet.

    Raises:
        TrainerError: DATA, with the column.
    """
    features = rows.dataset.features
    for column in chain(*_usual_beside(form, columns, features).values()):
        if column not in features and (doubt := rows.doubts.get(column)):
            raise doubt.error()


def _is_sharegpt(rows: Rows, column: str) -> bool:
    chat = rows.dataset[0][column] if column in rows.dataset.features and len(rows.dataset) else None
    return isinstance(chat, list) and bool(chat) and isinstance(chat[0], dict) and chat[0].get("from") is not None


def _missing(form: Format, missing: dict[str, str], rows: Rows) -> TrainerError:
    there = rows.dataset.column_names
    return data_error(
        Reason.COLUMN_NOT_FOUND,
        f"dataset.format: {form} needs {_columns(missing.values())}, and split '{rows.split}' has only {named(there)}"
        f"{did_you_mean(next(iter(missing.values())), there)}",
        f"set {listed(f'dataset.columns.{name}' for name in missing)} to where it is, or choose another dataset.format",
    )


def _columns(names: Iterable[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return f"column{'s' if quoted[1:] else ''} {listed(quoted)}"


def _no_columns(rows: Rows) -> TrainerError:
    features = rows.dataset.features
    there = rows.dataset.column_names
    hint = f"{_ELSE}: text, prompt-completion, messages, sharegpt or alpaca"
    pair = next((pair for pair in _PAIRS if {*pair} <= set(features)), None)
    if pair:
        hint = "set dataset.columns.prompt to {} and dataset.columns.completion to {}, if these are what is asked and answered".format(
            *pair
        )
    if around := within_one(rows, {*chain(*(usual for form in _USUAL.values() for usual in form.values()))}):
        hint = around
    if {"role", "content"} <= set(features) or {"from", "value"} <= set(features):
        hint = 'each row is a turn, and not a chat: write a chat in each row, as {"messages": [{"role": …, "content": …}, …]}'
    if is_chat(features.get("contents")):
        hint = (
            'chats as Gemini takes them: write each as {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}, '
            "with the texts of a turn's parts as its content, what functionCall holds as its tool_calls, and what functionResponse holds "
            "as a turn of role tool"
        )
    if "chosen" in features:
        learnt = "dataset.columns.messages" if is_chat(features["chosen"]) and "prompt" not in features else ""
        hint = (
            "pairs of a chosen and a rejected answer are not compared; to learn the chosen ones alone set "
            f"{learnt or 'dataset.columns.prompt to the question and dataset.columns.completion'} to chosen"
        )
    return data_error(
        Reason.COLUMN_NOT_FOUND,
        f"split '{rows.split}' has no column 'text', only {named(there)}{did_you_mean('text', there)}; nor columns of "
        "another format (prompt and completion, messages, conversations, instruction and output)",
        hint,
    )
