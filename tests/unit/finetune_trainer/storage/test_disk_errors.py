"""Why an output could not be written on this machine."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage.disk_errors import output_failures


def test_a_full_disk_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(TrainerError) as caught, output_failures(tmp_path):
        Path("/dev/full").write_text("x")

    assert (caught.value.reason, caught.value.exit_code) == ("OutputFull", ExitCode.OUTPUT)


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
