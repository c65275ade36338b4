"""Small files of which there is very much once they are read, or that are forged: a reason that names the file, in little memory."""

import gzip
import json
import resource
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from finetune_api.sources import Columns, Dataset, Split
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.load_rows import load_rows
from finetune_trainer.data.readers import bounds, csv_rows, decoding, json_rows, memory

MB = 2**20


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The bounds of production, a thousandth as large."""
    monkeypatch.setattr(bounds, "_ALWAYS", MB)
    monkeypatch.setattr(bounds, "MOST_COLUMNS", 100)
    for module in (bounds, csv_rows, decoding, json_rows):
        monkeypatch.setattr(module, "MOST_CHARACTERS", MB // 4)
    monkeypatch.setattr(json_rows, "MOST_OF_A_LIST", 3 * MB // 4)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def packed_rows(folder: Path) -> None:
    with gzip.open(folder / "train.csv.gz", "wb") as file:
        file.write(b"text,label\n" + (b"a" * 1000 + b",1\n") * 3000)


def packed_line(folder: Path) -> None:
    with gzip.open(folder / "train.csv.gz", "wb") as file:
        file.write(b"text,label\n" + b"a" * MB + b",1\n")


def packed_line_of_json(folder: Path) -> None:
    with gzip.open(folder / "train.jsonl.gz", "wb") as file:
        file.write(b'{"text": "' + b"a" * MB + b'"}\n')


def line_of_json(folder: Path) -> None:
    (folder / "train.jsonl").write_text('{"text": "' + "a" * (MB // 2) + '"}\n{"text": "b"}\n')


def packed_list(folder: Path) -> None:
    with gzip.open(folder / "train.json.gz", "wb") as file:
        file.write(b"[" + b'{"text": "a"},\n' * 60_000 + b"{}]")


def quoted_over_many_lines(folder: Path) -> None:
    (folder / "train.csv").write_text('text,label\n"' + "a\n" * MB + '",1\n')


def many_columns(folder: Path) -> None:
    (folder / "train.csv").write_text(",".join(f"c{n}" for n in range(101)) + "\n" + ",".join("1" * 101) + "\n")


def a_key_for_each_row(folder: Path) -> None:
    (folder / "train.jsonl").write_text("".join(json.dumps({f"k{n}": 1}) + "\n" for n in range(101)))


def few_values_in_many_columns(folder: Path) -> None:
    wide = json.dumps({f"k{n}": 1 for n in range(90)}) + "\n"
    (folder / "train.jsonl").write_text(wide + "{}\n" * 9000)


def one_value_a_thousand_times(folder: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["a" * 10_000]))
    pq.write_table(pa.table({"text": column}), folder / "train.parquet", compression="zstd", store_schema=False)


def a_million_times_nothing(folder: Path) -> None:
    pq.write_table(pa.table({"text": pa.nulls(1_000_000, pa.string())}), folder / "train.parquet")


def many_columns_of_parquet(folder: Path) -> None:
    pq.write_table(pa.table({f"c{n}": [1] for n in range(101)}), folder / "train.parquet")


def nested_columns_of_parquet(folder: Path) -> None:
    kind, value = pa.int64(), 1
    for _ in range(60):
        kind, value = pa.list_(kind), [value]
    pq.write_table(pa.table({"text": pa.array([value], kind)}), folder / "train.parquet")


WORDS: dict[Callable[[Path], None], str] = {
    packed_rows: "train.csv.gz: unpacked it takes more than 0.0 GiB",
    packed_line: "train.csv.gz, line 2: it is longer than",
    packed_line_of_json: "train.jsonl.gz, line 1: it is longer than",
    line_of_json: "train.jsonl, line 1: it is longer than",
    packed_list: "train.json.gz, line 1: a list of rows is longer than",
    quoted_over_many_lines: "train.csv, line 2: a row is longer than",
    many_columns: "train.csv has 101 columns, and at most 100 are read",
    a_key_for_each_row: "train.jsonl has 101 columns, and at most 100 are read",
    few_values_in_many_columns: "train.jsonl: with a value in each row for each of the keys",
    one_value_a_thousand_times: "train.parquet: its first 1000 rows take more than",
    a_million_times_nothing: "rows take more than",
    many_columns_of_parquet: "train.parquet has 101 columns, and at most 100 are read",
    nested_columns_of_parquet: "train.parquet cannot be read: Parquet schema too deeply nested",
}


def load(folder: Path) -> datasets.Dataset:
    source = Dataset(source=f"file://{folder}", train=Split(split="train"), columns=Columns(text="text"))
    return load_rows(source, {})[0].dataset


@pytest.mark.parametrize("bomb", WORDS, ids=lambda bomb: bomb.__name__)
def test_a_file_of_which_there_is_too_much_is_refused_by_name(bomb: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    bomb(folder)

    with pytest.raises(TrainerError) as refused:
        load(folder)

    assert refused.value.reason == "DatasetUnreadable"
    assert WORDS[bomb] in refused.value.message
    assert "train." in refused.value.message


@pytest.mark.parametrize(
    "written", [json.dumps, lambda rows: json.dumps({"text": {str(n): row["text"] for n, row in enumerate(rows)}})]
)
def test_rows_that_are_all_in_one_line_are_read_though_it_is_longer_than_a_row_may_be(
    written: Callable[[list[dict[str, str]]], str], tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.json").write_text(written([{"text": "a" * 1000}] * 500))

    assert load(folder)["text"][:] == ["a" * 1000] * 500


DECLARED = """---
configs:
- config_name: default
  data_files: train.parquet
dataset_info:
  features:
  - name: text
    dtype: string
---
"""
"""Of such a folder `datasets` reads the rows."""


def huge_rows(folder: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["a" * MB]))
    pq.write_table(pa.table({"text": column}), folder / "train.parquet", compression="zstd", store_schema=False)


def huge_rows_of_declared_types(folder: Path) -> None:
    huge_rows(folder)
    (folder / "README.md").write_text(DECLARED)


def list_of_empty_objects(folder: Path) -> None:
    """Its first row is parsed with all others, to see whether the file has the columns."""
    with gzip.open(folder / "train.json.gz", "wb", 1) as file:
        file.write(b'[{"text": "a"}' + b",{}" * 8_000_000 + b"]")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("huge", "named"),
    [
        (huge_rows, "train.parquet"),
        (huge_rows_of_declared_types, "file://{folder}"),
        (list_of_empty_objects, "file://{folder}"),
    ],
)
def test_what_takes_more_memory_than_there_is_is_an_error_that_names_the_file(
    huge: Callable[[Path], None], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    monkeypatch.setattr(memory, "_LEAST_MEMORY", 256 * MB)
    monkeypatch.setattr(bounds, "_ALWAYS", 64 * MB)
    monkeypatch.setattr(json_rows, "MOST_OF_A_LIST", 64 * MB)
    monkeypatch.setattr(decoding, "MOST_CHARACTERS", 64 * MB)
    folder = tmp_path / "data"
    folder.mkdir()
    huge(folder)
    before = resource.getrlimit(resource.RLIMIT_DATA)

    with pytest.raises(TrainerError) as refused:
        load(folder)

    assert (refused.value.reason, refused.value.message) == (
        "OutOfMemory",
        f"{named.format(folder=folder)}: to read it takes more than the 0.2 GiB of memory that are left",
    )
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("value", ["[" * 300 + "1" + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, json.dumps({f"k{n}": n for n in range(2000)})])  # fmt: skip
def test_what_is_nested_deep_or_has_many_keys_within_a_row_is_kept_as_it_is(value: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "a", "other": ' + value + "}\n")

    rows = load(folder)

    assert rows[0] == {"text": "a", "other": json.loads(value)}


@pytest.mark.parametrize("ends", [(2**30,), (7, -5000), (7, 14, 21, 28, 35, 42, 49, 56, 5000)])
def test_lengths_that_lead_out_of_what_save_to_disk_wrote_are_refused(ends: tuple[int, ...], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    rows = datasets.Dataset.from_dict({"text": [f"hello {n}" for n in range(9)]})
    datasets.DatasetDict({"train": rows}).save_to_disk(folder)
    (file,) = (folder / "train").glob("*.arrow")
    content = bytearray(file.read_bytes())
    place = content.index(struct.pack("<3i", 0, 7, 14)) + 4
    content[place : place + 4 * len(ends)] = struct.pack(f"<{len(ends)}i", *ends)
    file.write_bytes(content)

    with pytest.raises(TrainerError) as refused:
        load(folder)

    assert refused.value.reason == "DatasetUnreadable"


@pytest.mark.parametrize("is_absolute", [True, False])
def test_what_save_to_disk_wrote_leads_to_no_rows_of_others(is_absolute: bool, tmp_path: Path) -> None:
    for name in ("data", "other"):
        datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": [name]})}).save_to_disk(tmp_path / name)
    (theirs,) = (tmp_path / "other" / "train").glob("*.arrow")
    path = str(theirs) if is_absolute else f"../../other/train/{theirs.name}"
    state = tmp_path / "data" / "train" / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "_data_files": [{"filename": path}]}))

    with pytest.raises(TrainerError) as refused:
        load(tmp_path / "data")

    assert refused.value.reason == "DatasetUnreadable"
    assert f"its state.json names a file that is not its own: {path:.100}" in refused.value.message


def test_what_save_to_disk_wrote_leads_to_no_split_of_others(tmp_path: Path) -> None:
    for name in ("data", "other"):
        datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": [name]})}).save_to_disk(tmp_path / name)
    (tmp_path / "data" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "../other/train"]}))

    with pytest.raises(
        TrainerError, match=r"its dataset_dict\.json names a file that is not its own: \.\./other/train"
    ):
        load(tmp_path / "data")


def test_a_small_pod_on_a_node_of_many_cores_has_room_for_the_stacks_of_its_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stacks are reserved, and hardly used. Arrow begins a thread a core, and fails where it cannot have one."""
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    monkeypatch.setattr(memory, "_LEAST_MEMORY", 64 * MB)
    monkeypatch.setattr(memory, "available_cores", lambda: 24)
    size, done = threading.stack_size(8 * MB), threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(24)]

    try:
        with memory.memory_for("rows.parquet"):
            for thread in threads:
                thread.start()
    finally:
        done.set()
        threading.stack_size(size)

    assert [thread.ident is None for thread in threads] == [False] * 24
