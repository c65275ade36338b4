"""Why an output could not be written on this machine."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from finetune_api.report import ENV_CACHE, ExitCode
from finetune_api.sources import Dataset, ModelSource
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.readers.errors import data_failures
from finetune_trainer.models.failures import model_failures
from finetune_trainer.storage.disk_errors import output_failures


def test_a_full_disk_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(TrainerError) as caught, output_failures(tmp_path):
        Path("/dev/full").write_text("x")

    assert (caught.value.reason, caught.value.exit_code) == ("OutputFull", ExitCode.OUTPUT)


def download() -> None:
    """As a library does that has errors of its own."""
    try:
        Path("/dev/full").write_text("x")
    except OSError as error:
        raise RuntimeError("the download failed") from error


@pytest.mark.parametrize(
    ("variables", "message", "hint"),
    [
        (
            {ENV_CACHE: "/var/cache/finetune"},
            "in the cache at /var/cache/finetune",
            "the volume of the profile's cache",
        ),
        ({}, "on the disk", "scratch space"),
    ],
)
def test_a_disk_without_room_for_a_download_is_no_fault_of_the_model_or_the_data(
    variables: dict[str, str], message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENV_CACHE, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = []
    for failures in (
        model_failures(ModelSource(source="org/model")),
        data_failures(Dataset.model_validate({"source": "org/data", "train": {"split": "train"}})),
    ):
        with pytest.raises(TrainerError) as caught, failures:
            download()
        found.append(caught.value)

    assert [(each.exit_code, each.reason) for each in found] == [(ExitCode.INTERNAL, "CacheFull")] * 2
    assert [each.message for each in found] == [
        f"model.source org/model: no space is left {message} to keep it",
        f"dataset.source org/data: no space is left {message} to keep it",
    ]
    assert all(hint in (each.hint or "") for each in found)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system writes no file longer than that, in bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_why_torch_could_not_write_is_found_out(tmp_path: Path) -> None:
    weights = torch.zeros(100_000)

    with pytest.raises(TrainerError) as caught, files_of_at_most(50_000), output_failures(tmp_path):
        torch.save(weights, tmp_path / "optimizer.pt")

    assert (caught.value.reason, caught.value.exit_code) == ("OutputFailed", ExitCode.OUTPUT)
    assert caught.value.message == f"writing to {tmp_path} failed: [Errno 27] File too large"
