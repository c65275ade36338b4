"""Which columns hold what: the shapes of data that a task reads, each found by the values and by usual names."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from finetune.proposal.sample import Sample
from finetune.proposal.stamps import are_dates, are_ids, are_numbered
from finetune_api.plain_numbers import plain_number
from finetune_api.printable import printable
from finetune_api.training import Task

_LABELS: Final = (
    "label", "labels", "class", "category", "target", "stars", "rating", "score", "sentiment", "intent", "topic", "emotion",
)  # fmt: skip
_TEXTS: Final = ("text", "sentence", "content", "review", "body", "comment", "message", "document", "question", "title")
_PAIRS: Final = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("text1", "text2"),
    ("query", "passage"), ("question", "context"), ("question", "sentence"),
)  # fmt: skip
_ANSWERS: Final = (
    ("prompt", "completion"), ("prompt", "response"), ("prompt", "answer"), ("instruction", "response"),
    ("question", "answer"), ("query", "response"), ("input", "output"),
)  # fmt: skip
_SUMMARIES: Final = (
    ("document", "summary"), ("article", "highlights"), ("article", "summary"), ("dialogue", "summary"),
    ("text", "summary"), ("source", "target"), ("text", "target"),
)  # fmt: skip
_LANGUAGES: Final = {
    "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese", "nl": "Dutch",
    "pl": "Polish", "ru": "Russian", "ro": "Romanian", "zh": "Chinese", "ja": "Japanese",
}  # fmt: skip
_MOST_CLASSES: Final = 200
_CHATS: Final = ("messages", "conversations")
_LONGEST_CLASS: Final = 64
"""Characters in the name of a class, where only that it repeats speaks for one."""


@dataclass(frozen=True)
class Shape:
    """What a table is for."""

    task: Task
    columns: dict[str, str]
    """`dataset.columns`, without those that have their usual names."""
    reads: tuple[str, ...]
    """The columns whose text becomes tokens."""
    why: str
    format: str = "auto"
    label: str | None = None
    problem: str | None = None
    """`model.problemType`, where the label does not tell by itself."""
    prefix: str | None = None
    """`preprocessing.sourcePrefix`, for models that were trained with one."""
    notes: tuple[str, ...] = field(default=())


def find_shape(
    sample: Sample, task: Task | None = None, text: str | None = None, label: str | None = None
) -> Shape | None:
    """Return what the columns are for, or None where nothing fits.

    Args:
        sample: The rows.
        task: The only task that is looked for; any if left out.
        text: Column with the text, where the user names it.
        label: Column with the class, or what is to be written, where the user names it.
    """
    if text or label:
        return next((each for each in _named(sample, task, text, label) if task in (None, each.task)), None)
    found = (
        shape
        for find in (_chat, _words, _translation, _alpaca, _answers, _summary, _classes, _plain)
        for shape in find(sample)
    )
    return next((each for each in found if task in (None, each.task)), None)


def shown(name: str) -> str:
    """Return the name of a column as a comment or message can show it, in quotes where blanks surround it."""
    text = printable(name)[:64]
    return text if text == text.strip() else f"'{text}'"


def in_first(sample: Sample) -> str:
    """Return what limits a sentence about the rows to those that were read, where there are more."""
    return "" if sample.whole else f" in the first {sample.rows:,} rows"


def _named(sample: Sample, task: Task | None, text: str | None, label: str | None) -> Iterator[Shape]:
    text = text or _text_column(sample, but=[label])
    if text is None:
        return
    named = f"{shown(text)} is the text"
    if task == "seq2seq" and label:
        yield Shape("seq2seq", _but_usual(text=text, target=label), (text,), named, label=label)
    if task == "causal-lm" and label:
        yield Shape("causal-lm", {"prompt": text, "completion": label}, (text, label), named, label=label)
    if label:
        yield _classifier(sample, text, None, label, named)
    yield Shape("causal-lm", _but_usual(text=text), (text,), f"{named}, and no label is named", format="text")


def _chat(sample: Sample) -> Iterator[Shape]:
    names = [*(each for each in _CHATS if each in sample.columns), *sample.columns]
    for name in names:
        turns = [turn for row in _given(sample, name) if isinstance(row, list) for turn in row]
        kind = next((kind for keys, kind in (({"role", "content"}, "messages"), ({"from", "value"}, "sharegpt"))
                     if turns and all(isinstance(turn, dict) and keys <= turn.keys() for turn in turns)), None)  # fmt: skip
        if kind:
            columns = {} if name in _CHATS else {"messages": name}
            why = f"column {shown(name)} holds chats ({'role and content' if kind == 'messages' else 'from and value'})"
            yield Shape("causal-lm", columns, (name,), why, format=kind)
            return


def _words(sample: Sample) -> Iterator[Shape]:
    lists = [name for name in sample.columns if _all(sample, name, list)]
    for tokens in lists:
        words = _given(sample, tokens)
        if not all(isinstance(word, str) for row in words for word in row):
            continue
        for tags in lists:
            if tags != tokens and _fits(words, _given(sample, tags)):
                columns = _but_usual(tokens=tokens, tags=tags)
                why = f"{shown(tokens)} and {shown(tags)} are lists of the same lengths: a tag for each word"
                yield Shape("token-classification", columns, (tokens,), why, label=tags)
                return


def _fits(words: list[list[Any]], tags: list[list[Any]]) -> bool:
    return (
        len(words) == len(tags)
        and any(len(row) > 1 for row in words)
        and all(len(row) == len(tagged) for row, tagged in zip(words, tags, strict=True))
        and all(isinstance(tag, str | int) for row in tags for tag in row)
    )


def _translation(sample: Sample) -> Iterator[Shape]:
    for name in sample.columns:
        rows = _given(sample, name)
        if not (rows and all(isinstance(row, dict) for row in rows)):
            continue
        languages = [key for key in rows[0] if all(isinstance(row.get(key), str) for row in rows)]
        if len(languages) == 2:
            source, target = languages
            why = f"{shown(name)} has texts in {shown(source)} and {shown(target)}"
            columns = {"text": f"{name}.{source}", "target": f"{name}.{target}"}
            yield Shape(
                "seq2seq",
                columns,
                tuple(columns.values()),
                why,
                label=columns["target"],
                prefix=_prefix(source, target),
            )
            return
    codes = [name for name in sample.columns if name.lower() in _LANGUAGES and _is_text(sample, name)]
    if len(codes) == 2:
        why = f"{codes[0]} and {codes[1]} are languages"
        yield Shape(
            "seq2seq",
            _but_usual(text=codes[0], target=codes[1]),
            tuple(codes),
            why,
            label=codes[1],
            prefix=_prefix(*codes),
        )


def _prefix(source: str, target: str) -> str | None:
    names = [_LANGUAGES.get(each.lower()) for each in (source, target)]
    return f"translate {names[0]} to {names[1]}: " if all(names) else None


def _alpaca(sample: Sample) -> Iterator[Shape]:
    if all(_is_text(sample, name) for name in ("instruction", "output")):
        reads = tuple(name for name in ("instruction", "input", "output") if name in sample.columns)
        yield Shape("causal-lm", {}, reads, f"{', '.join(reads)}: instructions in Alpaca's form", format="alpaca")


def _answers(sample: Sample) -> Iterator[Shape]:
    for prompt, completion in _named_alike(sample, _ANSWERS):
        columns = (
            {} if (prompt, completion) == ("prompt", "completion") else {"prompt": prompt, "completion": completion}
        )
        notes: tuple[str, ...] = ()
        if not any(str(value)[:1].isspace() for value in _given(sample, completion)):
            notes = (
                "the answer follows the prompt directly: let one of them have the space or line break between them",
            )
        why = f"{shown(prompt)} is answered by {shown(completion)}"
        yield Shape("causal-lm", columns, (prompt, completion), why, format="prompt-completion", notes=notes)


def _summary(sample: Sample) -> Iterator[Shape]:
    for text, target in _named_alike(sample, _SUMMARIES):
        few = len(set(_given(sample, target))) <= _most_classes(sample)
        if target == "target" and (few or _written_numbers(sample, target)):
            continue
        prefix = "summarize: " if target in ("summary", "highlights") else None
        why = f"{shown(target)} is to be written from {shown(text)}"
        yield Shape("seq2seq", _but_usual(text=text, target=target), (text,), why, label=target, prefix=prefix)


def _classes(sample: Sample) -> Iterator[Shape]:
    label = _label_column(sample)
    if label is None:
        return
    for first, second in _named_alike(sample, _PAIRS):
        yield _classifier(sample, first, second, label, f"{shown(first)} and {shown(second)} are a pair")
    text = _text_column(sample, but=[label])
    if text:
        yield _classifier(sample, text, None, label, f"{shown(text)} is text")


def _plain(sample: Sample) -> Iterator[Shape]:
    label = _label_column(sample)
    text = _text_column(sample, but=[name for name in sample.columns if _looks_like_label(sample, name, label)])
    if text:
        none = "" if label and label != text else ", and no column looks like a label"
        yield Shape(
            "causal-lm",
            _but_usual(text=text),
            (text,),
            f"{shown(text)} is text{none}",
            format="text",
        )


def _classifier(sample: Sample, text: str, pair: str | None, label: str, why: str) -> Shape:
    values = _given(sample, label)
    several = [each for row in values if isinstance(row, list) for each in row]
    problem = None
    if several or any(isinstance(each, list) for each in values):
        seen = f"{shown(label)} holds lists: several classes a row"
    elif any(isinstance(each, float) and not each.is_integer() for each in values):
        seen, problem = f"{shown(label)} holds numbers with fractions", "regression"
    elif any(not number.is_integer() for number in _written_numbers(sample, label)):
        seen, problem = f"{shown(label)} holds numbers with fractions, in quotes", "regression"
    else:
        classes = set(map(str, values))
        seen = f"{shown(label)} has {len(classes)} class{'es' if len(classes) != 1 else ''}{in_first(sample)}"
    columns = _but_usual(text=text, label=label)
    if pair:
        columns["textPair"] = pair
    reads = (text, pair) if pair else (text,)
    return Shape("text-classification", columns, reads, f"{why}, and {seen}", label=label, problem=problem)


def _label_column(sample: Sample) -> str | None:
    usual = {name.lower().strip(): name for name in sample.columns}
    named = next((usual[name] for name in _LABELS if name in usual and not _is_prose(sample, usual[name])), None)
    if named:
        return named
    few = [
        name
        for name in sample.columns
        if 2 <= _distinct(sample, name) <= _most_classes(sample) and not _is(are_dates, sample, name)
    ]
    return min(
        few,
        key=lambda name: (_is_often_empty(sample, name), not _is_text(sample, name), _distinct(sample, name)),
        default=None,
    )


def _is_often_empty(sample: Sample, name: str) -> bool:
    """Whether a column is rather for remarks: a label is there in nearly each row."""
    return len(_given(sample, name)) < 0.9 * sample.rows


def _distinct(sample: Sample, name: str) -> int:
    values = _given(sample, name)
    if not values or not all(isinstance(each, str | int) for each in values):
        return 0
    return len(set(values))


def _most_classes(sample: Sample) -> int:
    """A column of more distinct values than these is no label: each class has some rows."""
    return min(_MOST_CLASSES, max(2, sample.rows // 4))


def _looks_like_label(sample: Sample, name: str, label: str | None) -> bool:
    """Whether a column holds classes rather than texts to write more of. In two rows anything has few values."""
    usual = name.lower().strip()
    if usual in _TEXTS or not _is_text(sample, name):
        return False
    if name == label:
        return usual in _LABELS or _distinct(sample, name) < len(_given(sample, name))
    return _repeats(sample, name)


def _repeats(sample: Sample, name: str) -> bool:
    """Whether short texts are there twice or more each, as names of classes are."""
    values = _given(sample, name)
    return 2 * _distinct(sample, name) <= len(values) and max(map(len, values)) <= _LONGEST_CLASS


def _text_column(sample: Sample, but: Collection[str | None]) -> str | None:
    texts = [name for name in sample.columns if name not in but and _is_text(sample, name)]
    usual = {name.lower().strip(): name for name in texts}
    named = next((usual[name] for name in _TEXTS if name in usual), None)
    if named:
        return named
    # Addresses or molecules are texts where there is no other; from dates and ids nothing is learned.
    texts = [name for name in texts if not (_is(are_dates, sample, name) or _is(are_ids, sample, name))]
    poor = [name for name in texts if _is(are_numbered, sample, name) or _repeats(sample, name)]
    return max(texts, key=lambda name: (name not in poor, sum(map(len, _given(sample, name)))), default=None)


def _named_alike(sample: Sample, pairs: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    usual = {name.lower(): name for name in sample.columns}
    for first, second in pairs:
        if first in usual and second in usual and _is_text(sample, usual[first]) and _is_text(sample, usual[second]):
            yield usual[first], usual[second]


def _but_usual(**columns: str) -> dict[str, str]:
    """Only those that differ from the defaults of `dataset.columns`."""
    return {name: column for name, column in columns.items() if name != column}


def _given(sample: Sample, name: str) -> list[Any]:
    return [each for each in sample.columns[name] if each is not None]


def _all(sample: Sample, name: str, kind: type) -> bool:
    values = _given(sample, name)
    return bool(values) and all(isinstance(each, kind) for each in values)


def _is_text(sample: Sample, name: str) -> bool:
    return name in sample.columns and _all(sample, name, str)


def _is(kind: Callable[[list[Any]], bool], sample: Sample, name: str) -> bool:
    return _is_text(sample, name) and kind(_given(sample, name))


def _is_prose(sample: Sample, name: str) -> bool:
    """Whether a column is text that hardly repeats."""
    return (
        _is_text(sample, name)
        and _distinct(sample, name) > _most_classes(sample)
        and not _written_numbers(sample, name)
    )


def _written_numbers(sample: Sample, name: str) -> list[float]:
    """The numbers of a column of text, where all its texts are numbers."""
    numbers = [
        number for each in _given(sample, name) if isinstance(each, str) and (number := plain_number(each)) is not None
    ]
    return numbers if len(numbers) == len(_given(sample, name)) else []
