"""Which column is the text, which the label, and which is neither."""

import pytest
from tests.unit.finetune.proposal.rows import ROWS, each, prose

from finetune.proposal.columns import find_shape
from finetune.proposal.sample import Sample
from finetune_api.training import Task


def test_columns_that_the_user_names_decide() -> None:
    sample = Sample({"title": prose(), "body": prose(), "kind": each("a", "b")}, ROWS, whole=True)

    found = [
        find_shape(sample, "seq2seq", "body", "title"),
        find_shape(sample, None, "title", "kind"),
        find_shape(sample, "seq2seq"),
    ]

    assert [(each.task, each.columns) if each else None for each in found] == [
        ("seq2seq", {"text": "body", "target": "title"}),
        ("text-classification", {"text": "title", "label": "kind"}),
        None,
    ]


def test_data_without_text_fits_nothing() -> None:
    assert find_shape(Sample({"a": list(range(ROWS)), "b": each(1, 2)}, ROWS, whole=True)) is None


@pytest.mark.parametrize(
    "shown", ["2026-11-{0:02}", "{0}.11.2026 10:05", "11/{0}/26", "2026-11-01T10:{0:02}:00Z", "T-1000{0}"]
)
def test_dates_and_numbered_names_are_no_text(shown: str) -> None:
    stamps = [shown.format(number % 28 + 1) for number in range(ROWS)]

    assert find_shape(Sample({"id": [*range(ROWS)], "when": stamps}, ROWS, whole=True)) is None
    with_text = find_shape(Sample({"when": stamps, "note": prose("short")}, ROWS, whole=True))
    assert with_text is not None
    assert with_text.reads == ("note",)


def test_a_date_that_repeats_is_no_label() -> None:
    shape = find_shape(Sample({"date": each("2026-11-01", "2026-11-02"), "note": prose()}, ROWS, whole=True))

    assert shape is not None
    assert (shape.task, shape.label) == ("causal-lm", None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("line", "2026-11-01 10:05:11 ERROR disk {0} failed"),
        ("line", "2026-11-01T10:05:11Z"),
        ("smiles", "CC(=O)OC{0}=CC=CC=C{0}"),
        ("url", "https://example.com/item/{0}"),
        ("mail", "ana{0}@example.com"),
    ],
)
def test_what_begins_with_a_date_or_holds_a_number_is_text_where_nothing_else_is(name: str, text: str) -> None:
    values = [text.format(number) for number in range(ROWS)]

    shape = find_shape(Sample({name: values, "severity": each("low", "high", "none")}, ROWS, whole=True))

    if text == text.format(0):
        assert shape is None
        return
    assert shape is not None
    assert (shape.task, shape.reads, shape.label) == ("text-classification", (name,), "severity")


def test_a_column_of_few_names_is_no_text_before_a_molecule() -> None:
    columns = {"smiles": [f"CC(=O)OC1=CC=CC=C{n}" for n in range(ROWS)], "lab": each("A", "B"), "label": each(0, 1)}

    shape = find_shape(Sample(columns, ROWS, whole=True))

    assert shape is not None
    assert (shape.reads, shape.label) == (("smiles",), "label")


def test_names_of_people_with_a_number_are_text_where_nothing_else_is() -> None:
    names = [f"{chr(97 + number % 26)}{'na' * (number % 5)}{number}" for number in range(ROWS)]

    shape = find_shape(Sample({"user": names, "bot": each(0, 1)}, ROWS, whole=True))

    assert shape is not None
    assert (shape.reads, shape.label) == (("user",), "bot")


@pytest.mark.parametrize("label", [each("low", "high"), each("low"), [*each("low", "high")[:-1], None]])
@pytest.mark.parametrize(
    "shown",
    [
        "2026-11-01 10:05:{0:02}",
        "11/1/2026, 10:05:{0:02} AM",
        "01.11.26 10:05:{0:02}.123 +01:00",
        "10:{0:02} pm",
        "T-1000{0:02}",
        "INV-2026-{0}",
        "6a1b{0:04x}-3c4d-4e5f-8a9b-0123456789ab",
    ],
)
@pytest.mark.parametrize("task", [None, "causal-lm"])
def test_a_label_beside_dates_or_ids_alone_is_not_the_text(
    task: Task | None, shown: str, label: list[str | None]
) -> None:
    values = [shown.format(number) for number in range(ROWS)]

    assert find_shape(Sample({"when": values, "severity": label}, ROWS, whole=True), task) is None


def test_a_label_of_few_rows_is_not_the_text() -> None:
    columns = {"when": [f"2026-11-0{day}" for day in range(1, 9)], "severity": each("low", "mid", "high")[:8]}

    assert find_shape(Sample(columns, 8, whole=True)) is None


@pytest.mark.parametrize("rows", [1, 2, ROWS])
def test_a_text_alone_is_a_text_in_however_few_rows(rows: int) -> None:
    for name, values in (("story", prose()), ("text", each("one", "two"))):
        shape = find_shape(Sample({name: values[:rows]}, rows, whole=True))

        assert shape is not None
        assert (shape.task, shape.reads) == ("causal-lm", (name,))


def test_a_language_model_that_is_asked_for_beside_a_label_does_not_deny_the_label() -> None:
    shape = find_shape(Sample({"note": prose(), "kind": each("a", "b")}, ROWS, whole=True), "causal-lm")

    assert shape is not None
    assert (shape.reads, shape.why) == (("note",), "note is text")


@pytest.mark.parametrize(
    "versions", [("1.2.3", "2.0.0"), ("3.11.4", "3.9.18", "3.10.12"), ("2024.1.0", "2024.2.1"), ("1-2-3", "2-0-0")]
)
def test_versions_are_labels(versions: tuple[str, ...]) -> None:
    shape = find_shape(Sample({"note": prose(), "version": each(*versions)}, ROWS, whole=True))

    assert shape is not None
    assert (shape.task, shape.label) == ("text-classification", "version")


def test_an_empty_text_among_dates_is_no_date_that_is_missing_from_them() -> None:
    often, once = each("2026-11-01", "", "2026-11-02"), ["", *(f"2026-11-{day % 28 + 1:02}" for day in range(1, ROWS))]

    shape = find_shape(Sample({"date": often, "note": prose()}, ROWS, whole=True))

    assert shape is not None
    assert (shape.task, shape.label) == ("causal-lm", None)
    assert find_shape(Sample({"id": [*range(ROWS)], "when": once}, ROWS, whole=True)) is None


def test_what_is_named_is_said_in_a_sentence() -> None:
    shape = find_shape(Sample({"note": prose(), "who": each("Ana", "Bo")}, ROWS, whole=True), label="who")

    assert shape is not None
    assert shape.why == "note is the text, and who has 2 classes"
