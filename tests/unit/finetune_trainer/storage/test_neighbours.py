"""What is told of the places beside one that is not there."""

from pathlib import Path

import pytest

from finetune_api.report import ENV_SECRETS
from finetune_api.sources import Dataset
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.readers.local_rows import find_local_rows
from finetune_trainer.storage import neighbours
from finetune_trainer.storage.neighbours import nothing_at


def test_of_a_data_set_that_is_not_on_its_claim_what_lies_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\n")
    settings = Dataset.model_validate({"source": "pvc://data/review.csv", "train": {"split": "train"}})

    with pytest.raises(TrainerError) as caught:
        find_local_rows(settings, {"data": tmp_path})

    assert caught.value.message == (
        f"pvc://data/review.csv: there is nothing at {tmp_path}/review.csv; "
        f"the folder {tmp_path} has reviews.csv; did you mean 'reviews.csv'?"
    )


def test_of_a_folder_with_any_number_of_files_a_bounded_number_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_MOST_READ", 3)
    for number in range(10):
        (tmp_path / f"part-{number}").touch()

    told = nothing_at(tmp_path / "other")

    assert len(neighbours.names_in(tmp_path) or []) == 4
    assert (told.endswith(" and others"), " more" in told) == (True, False)


def test_a_folder_whose_names_are_all_hidden_is_not_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".part").touch()

    assert nothing_at(tmp_path / "hidden" / "x") == f"there is nothing at {tmp_path}/hidden/x"
    assert nothing_at(tmp_path / "empty" / "x") == (
        f"there is nothing at {tmp_path}/empty/x; the folder {tmp_path}/empty is empty"
    )


def test_hidden_names_count_for_nothing_in_what_is_read_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_MOST_READ", 2)
    for name in (".a", ".b", ".c", ".d", "x", "y"):
        (tmp_path / name).touch()

    assert nothing_at(tmp_path / "other").endswith(" has x, y")


@pytest.mark.parametrize("missed", ["AWS_KEY", "secrets/x", "secrets/model/x"])
def test_nothing_is_told_of_folders_that_hold_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missed: str
) -> None:
    (tmp_path / "secrets" / "model").mkdir(parents=True)
    (tmp_path / "secrets" / "model" / "HF_TOKEN").write_text("x")
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path / "secrets"))

    assert nothing_at(tmp_path / missed) == f"there is nothing at {tmp_path / missed}"
