"""What was read is kept, told apart by what files hold, and no failure where it cannot be."""

import errno
import os
from pathlib import Path
from typing import Any

import datasets
import pytest
from tests.trainer.readers.reading import Read
from tests.trainer.readers.test_readme import CONFIGS

from finetune_api.report import ExitCode
from finetune_api.sources import Dataset
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.data.load_rows import load_rows


@pytest.mark.parametrize("readme", [CONFIGS, "# Rows"])
def test_folders_of_one_name_and_edited_files_are_distinguished_by_what_they_hold(
    read: Read, tmp_path: Path, readme: str
) -> None:
    def rows(folder: str) -> Any:
        source = {"source": f"file://{tmp_path}/{folder}/data", "train": {"split": "train"}}
        return load_rows(Dataset(**source), {})[0].dataset["text"][:]

    for folder, text in (("one", "a"), ("two", "b")):
        (tmp_path / folder / "data").mkdir(parents=True)
        (tmp_path / folder / "data" / "README.md").write_text(readme)
        (tmp_path / folder / "data" / "en.jsonl").write_text(f'{{"text": "{text}"}}')
        os.utime(tmp_path / folder / "data" / "en.jsonl", (1e9, 1e9))
        if readme == CONFIGS:
            (tmp_path / folder / "data" / "de.csv").write_text("text\nc\n")

    first, second = rows("one"), rows("two")
    (tmp_path / "one" / "data" / "en.jsonl").write_text('{"text": "c"}')
    os.utime(tmp_path / "one" / "data" / "en.jsonl", (1e9, 1e9))

    assert (first, second, rows("one")) == (["a"], ["b"], ["c"])


def test_what_was_reported_of_a_file_is_reported_again_when_it_is_not_read_again(read: Read) -> None:
    files = {"a.tsv": 'text\tlabel\n"a\tx\nb" c\ty\n'}
    read(files)
    warnings: list[str] = []

    with collected(lambda reason, message: warnings.append(reason)):
        read(files)

    assert warnings == ["QuotesReadLiterally"]


def test_a_cache_without_room_is_no_failure_of_the_data(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("finetune_trainer.data.readers.row_cache.ArrowWriter.write_table", full)

    with pytest.raises(TrainerError) as caught:
        read({"a.csv": "text,label\nroom,0\nno room,1\n"})

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.INTERNAL, "CacheFull")


def test_what_a_killed_process_left_of_its_reading_is_deleted(read: Read) -> None:
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "files"
    files = {"a.csv": "text,label\nkilled,0\nagain,1\n"}
    read(files)
    kept = max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    leftover = kept.rename(kept.with_name(f"{kept.name}.killed"))

    read(files)

    assert (kept.is_dir(), leftover.exists()) == (True, False)
