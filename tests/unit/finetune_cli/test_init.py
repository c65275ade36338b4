"""`finetune init` writes a manifest that is valid, overwrites nothing, and says what it could not find."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from finetune.proposal import sample
from finetune_cli.app import app


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "My Reviews_2.csv"
    path.write_text("review,stars\n" + "".join(f"film number {number},{number % 5}\n" for number in range(50)))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_the_manifest_is_valid_and_named_by_the_data(data: Path, tmp_path: Path) -> None:
    made = run("init", data.name)
    checked = run("validate", "finetune.yaml")

    assert (made.exit_code, checked.exit_code) == (0, 0)
    assert made.stdout.splitlines() == [
        "finetune.yaml: text-classification, since review is text, and stars has 5 classes",
        "next: finetune validate finetune.yaml, finetune estimate finetune.yaml, finetune run finetune.yaml, "
        "finetune submit finetune.yaml",
    ]
    text = (tmp_path / "finetune.yaml").read_text()
    assert "name: my-reviews-2" in text
    assert f"source: {data.as_uri()}" in text


@pytest.mark.parametrize("folder", [False, True])
def test_data_beside_the_folder_that_one_is_in_are_named_without_dots(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    made = run("init", ".." if folder else f"../{data.name}", "--name", "stars")

    assert (made.exit_code, run("validate", "finetune.yaml").exit_code) == (0, 0)
    text = (tmp_path / "work" / "finetune.yaml").read_text()
    assert f"source: {(tmp_path if folder else data).as_uri()}\n" in text


def test_a_file_as_spreadsheets_write_it_is_understood_and_what_a_run_would_refuse_is_told(
    data: Path, tmp_path: Path
) -> None:
    rows = [
        f'{number};Größe „{number}“: zu klein, ""bitte"" tauschen;{"Rückgabe" if number % 3 else "Lob"};{"offen" if number % 4 else ""}'
        for number in range(40)
    ]
    rows[6] = "6;;Lob;erledigt"
    (tmp_path / "anfragen.csv").write_text("\n".join(["Nr;Text ;Kategorie;Bemerkung", *rows]), encoding="utf-8-sig")

    made = run("init", "anfragen.csv")

    assert made.stdout.splitlines()[:2] == [
        "finetune.yaml: text-classification, since 'Text ' is text, and Kategorie has 2 classes",
        "note: column 'Text ' is empty in 1 of 40 rows, the first of them row 7: a run refuses these, so fill them in or take them out",
    ]
    assert "columns:\n      text: 'Text '\n      label: Kategorie" in (tmp_path / "finetune.yaml").read_text()


@pytest.mark.parametrize(
    ("header", "classes", "note"),
    [
        (
            "text,label",
            ["good"],
            "column label has the one class good, and a run refuses to learn that: take rows of other classes too, or another column by --label",
        ),
        (
            "a fine film,good",
            ["good", "bad"],
            "the first line is taken for names of columns, and good is a class in the rows below: if it is a row, write a line of names above it",
        ),
    ],
)
def test_a_label_that_cannot_be_meant_so_is_noted(data: Path, header: str, classes: list[str], note: str) -> None:
    rows = [f"film number {number},{classes[number % len(classes)]}" for number in range(40)]
    data.write_text("\n".join([header, *rows]))

    made = run("init", data.name, *(["--label", "label"] if len(classes) == 1 else []))

    assert made.stdout.splitlines()[1:-1] == [f"note: {note}"]


def notes(of: Result) -> list[str]:
    return [line for line in of.stdout.splitlines() if line.startswith("note: ")]


def test_a_first_line_that_is_a_row_is_noted_too_where_classes_are_numbers(data: Path) -> None:
    data.write_text("\n".join(["a fine film,1", *(f"film number {number},{number % 2}" for number in range(40))]))

    assert [note.partition(",")[0] for note in notes(run("init", data.name))] == [
        "note: the first line is taken for names of columns"
    ]


def test_names_that_no_line_holds_or_that_are_all_numbers_are_doubted_by_nobody(data: Path, tmp_path: Path) -> None:
    rows = [{"text": f"film number {number}", "spam": ("spam", "ham")[number % 2]} for number in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data.write_text("\n".join(["0,1", *(f"film number {number},{number % 2}" for number in range(40))]))

    assert notes(run("init", "rows.jsonl")) == []
    assert notes(run("init", data.name, "--force")) == []


def test_of_rows_that_are_sorted_by_class_the_first_ones_say_nothing_of_the_rest(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "_MOST_ROWS", 40)
    data.write_text("text,label\n" + "".join(f"film number {number},{number // 50}\n" for number in range(100)))

    made = run("init", data.name)

    assert made.stdout.splitlines()[0].endswith("label has 1 class in the first 40 rows")
    assert notes(made) == []
    assert "nothing is evaluated: there is one class in the first 40 rows" in (tmp_path / "finetune.yaml").read_text()


def test_a_class_that_is_written_as_two_kinds_of_number_beside_others_is_not_the_only_one(data: Path) -> None:
    data.write_text(
        "text,label\n" + "".join(f"film number {number},{('1', '2.0')[number % 2]}\n" for number in range(40))
    )

    assert notes(run("init", data.name)) == []


def test_the_commands_that_come_next_can_be_typed_as_they_stand(data: Path) -> None:
    made = run("init", data.name, "--file", "my job.yaml")

    *_, last = made.stdout.splitlines()
    assert last.startswith("next: finetune validate 'my job.yaml', finetune estimate 'my job.yaml', ")


def test_a_manifest_that_is_there_is_replaced_by_force_alone(data: Path, tmp_path: Path) -> None:
    mine = tmp_path / "finetune.yaml"
    mine.write_text("mine")

    refused = run("init", data.name)
    kept = mine.read_text()
    forced = run("init", data.name, "--force")

    assert (refused.exit_code, kept) == (2, "mine")
    assert refused.stderr == "finetune.yaml is there already: --force replaces it, --file names another\n"
    assert forced.exit_code == 0
    assert "kind: FineTuneJob" in mine.read_text()


def test_programs_get_the_manifest_itself(data: Path, tmp_path: Path) -> None:
    told = run(
        "init", data.name, "-o", "json", "--at", "s3://bucket/reviews.csv", "--gpus", "0", "--model", "org/small"
    )

    manifest = json.loads(told.stdout)
    assert manifest["spec"]["dataset"]["source"] == "s3://bucket/reviews.csv"
    assert manifest["spec"]["model"] == {"source": "org/small"}
    assert manifest["spec"]["resources"]["gpus"] == 0
    assert not (tmp_path / "finetune.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.csv"], 3, "there is no "),
        (["folder/none.csv"], 3, "there is no "),
        (["My Reviews_2.csv", "--config", "en"], 2, "is for data sets of the Hub"),
        (
            ["My Reviews_2.csv", "--text", "body"],
            2,
            "there is no column body in My Reviews_2.csv; there are review, stars",
        ),
        (
            ["My Reviews_2.csv", "--task", "seq2seq"],
            2,
            "no columns of My Reviews_2.csv fit for seq2seq: there are review, stars.",
        ),
        (["My Reviews_2.csv", "--at", "ftp://x"], 2, "spec.dataset.source: must be a Hugging Face Hub id"),
        (["empty.csv"], 2, "empty.csv has no rows"),
        (["picture.png"], 2, "picture.png: csv, tsv, json, jsonl and parquet files are read"),
        (["broken.jsonl"], 2, "broken.jsonl cannot be read: "),
    ],
)
def test_what_cannot_be_used_is_named_with_a_remedy(
    data: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "empty.csv").write_text("text,label\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "broken.jsonl").write_text('{"text": \n')

    ended = run("init", *arguments)

    assert ended.exit_code == code
    assert message in ended.stderr
    assert not (tmp_path / "finetune.yaml").exists()
