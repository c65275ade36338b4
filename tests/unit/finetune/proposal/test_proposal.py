"""From rows to a manifest: each shape of data gets its task, and every manifest is one that a cluster takes."""

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from finetune.errors import Refused
from finetune.manifest import read_manifests
from finetune.proposal.columns import find_shape
from finetune.proposal.propose import Request, propose
from finetune.proposal.sample import Sample, read_sample
from finetune.proposal.to_yaml import proposal_yaml
from finetune.validation import Namespace, find_problems
from finetune_api.training import Task

ROWS = 40


@dataclass(frozen=True)
class Case:
    """Columns of a table, and what is made of them."""

    name: str
    columns: dict[str, list[Any]]
    expected: dict[str, Any]
    """Fields of the spec by their paths."""
    left_out: tuple[str, ...] = field(default=())
    """Paths of fields that must not be there."""


def each(*values: Any) -> list[Any]:
    """ROWS values, taken in turn."""
    return [values[number % len(values)] for number in range(ROWS)]


def prose(words: str = "one row of text") -> list[str]:
    return [f"{words}, number {number}" for number in range(ROWS)]


CHAT = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}]
SHARED = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "That."}]
CASES: Final = [
    Case(
        "classes",
        {"id": list(range(ROWS)), "review": prose(), "stars": each(1, 2, 3)},
        {
            "task": "text-classification",
            "dataset.columns": {"text": "review", "label": "stars"},
            "dataset.train.split": "train[:90%]",
            "dataset.evaluation.split": "train[90%:]",
            "evaluation.bestMetric": "f1",
            "preprocessing.maxLength": 32,
        },
    ),
    Case(
        "usual names", {"text": prose(), "label": each("a", "b")}, {"task": "text-classification"}, ("dataset.columns",)
    ),
    Case(
        "words that repeat are a label, whatever their name",
        {"what": prose(), "kind": each("bug", "wish", "praise")},
        {"task": "text-classification", "dataset.columns": {"text": "what", "label": "kind"}},
    ),
    Case(
        "sorted by class",
        {"text": prose(), "label": ["a"] * 20 + ["b"] * 20},
        {"dataset.train.split": "train"},
        ("dataset.evaluation", "evaluation"),
    ),
    Case(
        "pairs",
        {"premise": prose(), "hypothesis": prose("another"), "label": each(0, 1)},
        {"task": "text-classification", "dataset.columns": {"text": "premise", "textPair": "hypothesis"}},
    ),
    Case(
        "numbers",
        {"text": prose(), "score": each(0.5, 1.25, 3.0)},
        {
            "task": "text-classification",
            "model.problemType": "regression",
            "evaluation.bestMetric": "pearsonr",
        },
    ),
    Case(
        "numbers in quotes",
        {"text": prose(), "label": each("0.5", "1.25", "3")},
        {"task": "text-classification", "model.problemType": "regression", "evaluation.bestMetric": "pearsonr"},
    ),
    Case(
        "numbers in quotes, hardly one twice",
        {"text": prose(), "target": [f"{number / 8}" for number in range(40)]},
        {"task": "text-classification", "model.problemType": "regression"},
    ),
    Case(
        "whole numbers in quotes are classes",
        {"text": prose(), "label": each("1", "2")},
        {"task": "text-classification"},
        ("model.problemType",),
    ),
    Case(
        "several classes a row",
        {"text": prose(), "labels": each(["a"], ["a", "b"], [])},
        {"task": "text-classification", "dataset.columns": {"label": "labels"}},
        ("model.problemType",),
    ),
    Case(
        "tags",
        {"tokens": each(["Ada", "wrote"], ["it"]), "ner_tags": each([1, 0], [0])},
        {"task": "token-classification", "dataset.columns": {"tags": "ner_tags"}, "evaluation.bestMetric": "f1"},
    ),
    Case(
        "chats",
        {"messages": each(CHAT)},
        {"task": "causal-lm", "dataset.format": "messages", "model.source": "Qwen/Qwen2.5-0.5B-Instruct"},
        ("dataset.columns",),
    ),
    Case(
        "chats under another name",
        {"dialog": each(CHAT)},
        {"task": "causal-lm", "dataset.format": "messages", "dataset.columns": {"messages": "dialog"}},
    ),
    Case("shared chats", {"conversations": each(SHARED)}, {"task": "causal-lm", "dataset.format": "sharegpt"}),
    Case(
        "instructions",
        {"instruction": prose(), "input": prose(), "output": prose()},
        {"task": "causal-lm", "dataset.format": "alpaca"},
        ("dataset.columns",),
    ),
    Case(
        "prompts",
        {"question": prose(), "answer": prose(" because")},
        {
            "task": "causal-lm",
            "dataset.format": "prompt-completion",
            "dataset.columns": {"prompt": "question", "completion": "answer"},
        },
    ),
    Case(
        "translation in one column",
        {"translation": each({"en": "a house", "fr": "une maison"})},
        {
            "task": "seq2seq",
            "dataset.columns": {"text": "translation.en", "target": "translation.fr"},
            "preprocessing.sourcePrefix": "translate English to French: ",
            "evaluation.bestMetric": "sacrebleu",
        },
    ),
    Case(
        "translation in two columns",
        {"de": prose("ein Haus"), "en": prose("a house")},
        {"task": "seq2seq", "dataset.columns": {"text": "de", "target": "en"}},
    ),
    Case(
        "summaries",
        {"article": prose("long " * 300), "highlights": prose("short")},
        {
            "task": "seq2seq",
            "preprocessing.sourcePrefix": "summarize: ",
            "preprocessing.maxLength": 512,
            "evaluation.bestMetric": "rougeL",
        },
    ),
    Case(
        "plain text",
        {"text": prose("word " * 500)},
        {"task": "causal-lm", "dataset.format": "text", "preprocessing.maxLength": 1024, "training.learningRate": 2e-5},
    ),
    Case(
        "a few rows",
        {"text": ["a b", "c d", "e f"], "label": ["x", "y", "x"]},
        {"training.batchSize": 1},
        ("evaluation",),
    ),
    Case(
        "names that YAML reads as something else",
        {"yes": prose(), "no": each(1, 2)},
        {"dataset.columns": {"text": "yes", "label": "no"}},
    ),
    Case(
        "names that would break a comment",
        {"text\nspec: {}\u2028# \x1b[31m": prose(), "label": each(1, 2)},
        {"task": "text-classification"},
    ),
]


def made(sample: Sample, request: Request) -> dict[str, Any]:
    """The manifest, as it is read back from the file."""
    shape = find_shape(sample)
    assert shape
    (manifest,) = read_manifests(proposal_yaml(propose(sample, shape, request)), "finetune.yaml")
    return manifest


def at(spec: dict[str, Any], path: str) -> Any:
    value: Any = spec
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_shape_of_data_gets_its_task_in_a_valid_manifest(case: Case) -> None:
    rows = len(next(iter(case.columns.values())))
    manifest = made(Sample(case.columns, rows, whole=True), Request("job", "file:///data/x.csv"))

    spec = manifest["spec"]
    assert find_problems(manifest, "finetune.yaml", None, Namespace("default", None)) == []
    assert {path: at(spec, path) for path in case.expected} == case.expected
    assert {path: at(spec, path) for path in case.left_out} == dict.fromkeys(case.left_out)


def test_every_value_that_was_chosen_has_its_reason_above_it() -> None:
    sample = Sample({"text": prose(), "label": each(1, 2)}, ROWS, whole=True)
    shape = find_shape(sample)
    assert shape

    lines = proposal_yaml(propose(sample, shape, Request("job", "file:///data/x.csv"))).splitlines()

    assert lines[0].startswith("# Proposed by `finetune init` from 40 rows.")
    explained = [
        line.split(":")[0].strip() for before, line in itertools.pairwise(lines) if before.strip().startswith("#")
    ]
    assert explained[1:] == [
        "task", "model", "source", "train", "maxLength", "epochs", "batchSize", "learningRate", "evaluation", "output", "resources",
    ]  # fmt: skip


def test_what_the_user_says_himself_is_taken() -> None:
    request = Request("job", "s3://bucket/x.csv", model="org/model", gpus=0)

    spec = made(Sample({"text": prose(), "label": each(1, 2)}, ROWS, whole=True), request)["spec"]

    assert spec["model"] == {"source": "org/model"}
    assert spec["dataset"]["source"] == "s3://bucket/x.csv"
    assert spec["resources"] == {"gpus": 0, "cpu": "2", "memory": "8Gi"}


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


def test_files_of_a_folder_are_taken_by_their_splits(tmp_path: Path) -> None:
    for name, text in (("train-0.csv", "a"), ("train-1.csv", "b"), ("test.csv", "c"), ("dev.jsonl", "")):
        (tmp_path / name).write_text(f"text,label\n{text},1\n" if text else '{"text": "d", "label": 2}\n')
    (tmp_path / "README.md").write_text("# Data")

    sample = read_sample(tmp_path)

    assert (sample.columns["text"], sample.train, sample.evaluation) == (["a", "b"], "train", "validation")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"one, two",1\nthree,2\n'),
        ("a.tsv", "text\tlabel\none, two\t1\nthree\t2\n"),
        ("a.jsonl", '{"text": "one, two", "label": 1}\n\n{"text": "three", "label": 2}\n'),
        ("a.json", '[{"text": "one, two", "label": 1}, {"text": "three", "label": 2}]'),
        ("b.json", '{"text": ["one, two", "three"], "label": [1, 2]}'),
    ],
)
def test_each_format_is_read(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8-sig")

    assert read_sample(tmp_path / name) == Sample({"text": ["one, two", "three"], "label": [1, 2]}, 2, whole=True)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("text,label\none,1\n", "utf-16"),
        ("text\tlabel\r\none\t1\r\n", "utf-16"),
        ("text\tlabel\r\none\t1\r\n", "utf-16-le"),
        ("text,label\none,1\n", "utf-32"),
        ("\n \ntext;label\none;1\n", "utf-8"),
        ("sep=;\r\ntext;label\r\none;1\r\n", "utf-8-sig"),
        (";\r\n;\r\ntext;label\r\none;1\r\n", "utf-8"),
    ],
)
def test_csv_is_read_as_spreadsheets_write_it(tmp_path: Path, content: str, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode(encoding))

    assert read_sample(tmp_path / "a.csv") == Sample({"text": ["one"], "label": [1]}, 1, whole=True)


def test_a_file_of_another_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nGröße,1\n".encode("latin-1"))

    with pytest.raises(Refused, match=r"a\.csv is not UTF-8: convert it from what it was saved as, such as by iconv"):
        read_sample(tmp_path / "a.csv")


def test_parquet_is_read_by_pyarrow(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = {"messages": [CHAT, CHAT]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "a.parquet")

    assert read_sample(tmp_path / "a.parquet") == Sample(json.loads(json.dumps(rows)), 2, whole=True)
