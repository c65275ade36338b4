"""What to do about a column that is not there, by what is there."""

from collections.abc import Sequence, Set
from typing import Any

from finetune_trainer.base.text import listed, named, seen
from finetune_trainer.data.class_names import look_of
from finetune_trainer.data.rows import Rows

ONE_OBJECT_A_LINE = "json is read as one object a line, or a list of objects; pandas writes that by to_json(orient='records', lines=True)"
_OF_WORDS = ("tokens", "tags")
_WORDS_AND_TAGS = 'write for each text its words and a tag for each of them, as jsonl or parquet: {"tokens": ["in", "Paris"], "tags": ["O", "B-LOC"]}'
_SOME = 100
"""Rows that are looked at for what all are."""


def where_it_may_be(rows: Rows, column: str, field: str) -> str | None:
    """What to do about a column that is not there, where the rows are of a form that shows it."""
    there = rows.dataset.column_names
    if alike := next((name for name in there if look_of(name) == look_of(column)), None):
        return f"the data calls it '{seen(alike)}': correct its name there, or set dataset.columns.{field} to it"
    if any(map(_is_value, there)):
        return (
            f"does the first line of the file hold a row? Write names of columns above it; else set dataset.columns.{field} to "
            "the column that holds it"
        )
    if there == ["text"] and field in _OF_WORDS and rows.dataset.info.builder_name == "text":
        return f"files of text (.txt) are read line by line, and hold nothing but that: {_WORDS_AND_TAGS}"
    if there == ["text"] and rows.dataset.info.builder_name == "text":
        return (
            "files of text (.txt) are read line by line, and hold nothing but that: write the rows as jsonl or parquet with a column "
            f"'{seen(column)}'; where each folder is a class and each file a text (pos/1.txt, neg/1.txt), with a row for each file: "
            '{"text": …, "label": "pos"}'
        )
    if not len(rows.dataset):
        return None
    first = rows.dataset[0]
    if any(isinstance(first[name], list) and column in first[name] for name in there):
        return ONE_OBJECT_A_LINE
    if around := within_one(rows, {column}):
        return around
    if field in _OF_WORDS and any(map(_are_places, first.values())):
        return f"entities that are given by their places in a text cannot be read: {_WORDS_AND_TAGS}"
    some: dict[str, list[Any]] = rows.dataset[:_SOME] if field == "label" else {}
    marks = [name for name, values in some.items() if _are_marks(values)]
    if len(marks) > 1:
        return (
            f"set dataset.columns.label to the one that is learnt; where {named(marks)} each mark a class, write one column of jsonl "
            f"or parquet with a list of the marks in each row ([{listed(['1', *'0' * (len(marks) - 1)])}]), or of the classes that it has"
        )
    within = [f"{name}.{key}" for name in there if isinstance(first[name], dict) for key in first[name]]
    if within and all(isinstance(value, dict) for value in first.values()):
        return f"what is within a column is named with a dot: set dataset.columns.{field} to the one of {named(within)} that holds it"
    if within:
        return f"set dataset.columns.{field} to the column that holds it; what is within a column is named with a dot: {named(within)}"
    return None


def within_one(rows: Rows, columns: Set[str]) -> str | None:
    """What to do where the rows, by one of these columns, are a list within a single column, as of {"data": [{…}, …]}."""
    first = rows.dataset[0] if len(rows.dataset) else {}
    for name, value in first.items():
        inner = value[0] if isinstance(value, list) and value else None
        if isinstance(inner, dict) and columns & inner.keys():
            return f"the rows seem to be within '{name}': write them as a list, or one object a line (jsonl)"
    return None


def _is_value(name: str) -> bool:
    """Whether the name of a column is rather a text or a number."""
    return len(name.split()) > 3 or name.removeprefix("-").replace(".", "", 1).isdecimal()


def _are_places(value: Any) -> bool:
    """Whether it is a list of parts of a text, as annotators of entities write them: {start, end, …} or [start, end, …]."""
    if not isinstance(value, list) or not value:
        return False
    part = value[0]
    if isinstance(part, dict):
        return {"start", "end"} <= part.keys() or {"start_offset", "end_offset"} <= part.keys()
    return isinstance(part, list) and len(part) > 2 and all(isinstance(place, int) for place in part[:2])


def _are_marks(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int) and value in (0, 1) for value in values)
