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

    assert len(neighbours.names_in(tmp_path) or []) == 3


@pytest.mark.parametrize("missed", ["AWS_KEY", "secrets/x", "secrets/model/x"])
def test_nothing_is_told_of_folders_that_hold_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missed: str
) -> None:
    (tmp_path / "secrets" / "model").mkdir(parents=True)
    (tmp_path / "secrets" / "model" / "HF_TOKEN").write_text("x")
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path / "secrets"))

    assert nothing_at(tmp_path / missed) == f"there is nothing at {tmp_path / missed}"
