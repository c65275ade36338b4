"""Entities are the same in whatever scheme their tags are written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval import scheme
from seqeval.metrics import f1_score

from finetune_trainer.metrics.scores import EntityScores
from finetune_trainer.metrics.tags import doubt_of, entity_tags

MARKS = {  # of one word, of the first, of those between, of the last
    "IOB2": "BBII", "IOE2": "EIIE", "IOBES": "SBIE", "BILOU": "UBIL", "BMES": "SBME", "BMEWO": "WBME",
}  # fmt: skip
FORMS = {"B-PER": "{mark}-{kind}", "B_PER": "{mark}_{kind}", "PER-B": "{kind}-{mark}", "B:PER": "{mark}:{kind}"}
SEQEVAL = {"IOB2": scheme.IOB2, "IOE2": scheme.IOE2, "IOBES": scheme.IOBES, "BILOU": scheme.BILOU}
Spans = list[tuple[str, int]]
"""Kind (O for none) and words of each, one after the other."""
spans = st.lists(st.tuples(st.sampled_from(["O", "PER", "LOC"]), st.integers(1, 4)), min_size=1, max_size=5)


def tagged(row: Spans, marks: str, form: str) -> list[str]:
    one, first, between, last = marks
    tags: list[str] = []
    for kind, words in row:
        signs = one if words == 1 else f"{first}{between * (words - 2)}{last}"
        tags += ["O" if kind == "O" else form.format(mark=sign, kind=kind) for sign in signs]
    return tags


def entities(rows: list[Spans]) -> set[tuple[int, str, int, int]]:
    found, start = set(), 0
    for number, row in enumerate(rows):
        start = 0
        for kind, words in row:
            found |= {(number, kind, start, words)} if kind != "O" else set()
            start += words
    return found


def cut(row: list[str], length: int) -> list[str]:
    return (row + ["O"] * length)[:length]


def scored(names: list[str], written: list[list[str]], wanted: list[list[str]]) -> float:
    found = entity_tags(names)
    assert found
    scores = EntityScores(["f1"], found.read_as)
    for row, reference in zip(written, wanted, strict=True):
        scores.add_batch(*(np.array([[names.index(tag) for tag in tags]]) for tags in (row, reference)))
    return scores.compute(loss=0.0)["f1"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MARKS)
@settings(max_examples=15)
@given(rows=st.lists(st.tuples(spans, spans), min_size=1, max_size=3))
def test_f1_is_of_the_same_entities_in_every_scheme_and_spelling(
    name: str, form: str, rows: list[tuple[Spans, Spans]]
) -> None:
    marks = MARKS[name]
    names = ["O", *(FORMS[form].format(mark=mark, kind=kind) for kind in ("PER", "LOC") for mark in sorted(set(marks)))]
    both = [[[("PER", 2), ("O", 1), *side] for side in row] for row in rows]  # so that there are entities
    length = max(sum(words for _, words in side) for row in both for side in row)
    wanted, written = ([cut(tagged(row[side], marks, FORMS[form]), length) for row in both] for side in (0, 1))

    true, told = (entities([row[side] for row in both]) for side in (0, 1))
    expected = 2 * len(true & told) / (len(true) + len(told))
    assert scored(names, written, wanted) == pytest.approx(expected)
    if form == "B-PER" and name in SEQEVAL:
        assert f1_score(wanted, written, mode="strict", scheme=SEQEVAL[name]) == pytest.approx(expected)


def test_entities_that_only_need_a_beginning_after_one_of_their_kind_are_distinguished() -> None:
    """IOB1."""
    row = ["I-PER", "I-PER", "B-PER", "O", "I-LOC", "I-PER"]
    merged = ["I-PER", "I-PER", "I-PER", "O", "I-LOC", "I-PER"]

    assert scored(sorted({*row}), [merged], [row]) == pytest.approx(2 * 2 / (4 + 3))
    assert f1_score([row], [merged]) == pytest.approx(2 * 2 / (4 + 3))


@pytest.mark.parametrize(
    ("names", "scheme_name", "read_as"),
    [
        (["B-PER", "I-PER", "O"], "IOB", ["B-PER", "I-PER", "O"]),
        (["B-PER", "O"], "IOB", ["B-PER", "O"]),
        (["O", "S-x"], "BIOES", ["O", "S-x"]),
        (["U-PER", "B-PER", "L-PER", "I-PER", "O"], "BILOU", ["S-PER", "B-PER", "E-PER", "I-PER", "O"]),
        (["B", "I", "O"], "IOB", ["B", "I", "O"]),
        (["B", "E", "M", "S"], "BMES", ["B", "E", "I", "S"]),
        (["b-per", "i-per", "o"], "IOB", ["B-per", "I-per", "O"]),
        (["B-PER", "I-PER", "0"], "IOB", ["B-PER", "I-PER", "O"]),
        (["O", "PER-B", "PER-I"], "IOB", ["O", "B-PER", "I-PER"]),
        (["B_first_name", "I_first_name", "O"], "IOB", ["B-first_name", "I-first_name", "O"]),
        (["B-given-name", "I-given-name", "O"], "IOB", ["B-given-name", "I-given-name", "O"]),
        (["L-B", "L-I", "O"], "IOB", ["B-L", "I-L", "O"]),
    ],
)
def test_the_scheme_is_reported_by_the_tags(names: list[str], scheme_name: str, read_as: list[str]) -> None:
    found = entity_tags(names)

    assert found
    assert (found.scheme, found.read_as) == (scheme_name, read_as)


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (["DET", "NOUN", "VERB"], None),
        (["L", "M", "S"], None),
        (["X", "Y"], None),
        (["0", "1", "2"], "they are numbers without names"),
        (["LOC", "O", "PER"], "there is an 'O' among them, but no mark for where an entity begins"),
        (["B-PER", "I-PER", "MISC", "O"], "some look so, such as 'B-PER', but not all"),
        (["B-PER", "I", "O"], "some look so, such as 'B-PER', but not all"),
        (["B-PER", "L-PER", "E-PER"], "some look so, such as 'B-PER', but not all"),
    ],
)
def test_tags_of_no_scheme_are_of_words_and_what_looks_otherwise_is_doubted(
    names: list[str], doubt: str | None
) -> None:
    assert entity_tags(names) is None
    assert doubt_of(names) == doubt
