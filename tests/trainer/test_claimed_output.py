"""An output in a bucket belongs to the run that claimed it."""

import json
from pathlib import Path

import pytest
from tests.s3_server import BUCKET, S3
from tests.trainer.machines import output_at

from finetune_api.report import ExitCode
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage.bucket import Bucket
from finetune_trainer.storage.claim import claim_output
from finetune_trainer.storage.find_output import open_output
from finetune_trainer.storage.output import Output


def config(there: str, epochs: int) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "org/name"},
            "dataset": {"source": "org/data", "train": {"split": "train"}},
            "training": {"epochs": epochs},
            "output": {"uri": f"s3://{BUCKET}/{there}"},
        }
    )


def opened(run: RunConfig) -> Output:
    return open_output(run.output.uri, run.identity(), {})


def claim(run: RunConfig) -> None:
    claim_output(opened(run), run.identity())


@pytest.mark.slow
def test_the_same_run_may_come_back_to_a_bucket_and_another_may_not(s3: S3, there: str) -> None:
    mine = config(there, 3)
    claim(mine)
    claim(mine)

    with pytest.raises(TrainerError) as caught:
        opened(config(there, 4))

    assert (caught.value.reason, caught.value.message) == (
        "OutputInUse",
        f"s3://{BUCKET}/{there} holds a run with other settings",
    )
    assert s3.names(there) == [f"{there}/run.json"]


def test_to_look_at_an_output_leaves_the_history_of_a_run_under_way_on_this_machine(there: str) -> None:
    mine = config(there, 3)
    output = opened(mine)
    claim_output(output, mine.identity())
    output.history.write_text("not there yet\n")

    opened(mine)

    assert output.history.read_text() == "not there yet\n"


def test_a_history_that_has_no_room_on_this_machine_is_reported_as_such(s3: S3, there: str, tmp_path: Path) -> None:
    s3.write(f"{there}/history.jsonl", b"one line\n")
    (tmp_path / "history.jsonl").symlink_to("/dev/full")

    with pytest.raises(TrainerError) as caught:
        output_at(there, tmp_path).fetch_history()

    assert caught.value.reason == "OutputFull"


@pytest.mark.slow
def test_of_two_runs_that_claim_a_bucket_at_once_one_has_it(
    s3: S3, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = config(there, 3), config(there, 4)
    output, create = opened(mine), Bucket.create

    def the_other_is_faster(self: Bucket, name: str, content: bytes) -> None:
        monkeypatch.setattr(Bucket, "create", create)
        claim(other)
        create(self, name, content)

    monkeypatch.setattr(Bucket, "create", the_other_is_faster)
    with pytest.raises(TrainerError, match="a run with other settings"):
        claim_output(output, mine.identity())

    assert json.loads(s3.read(f"{there}/run.json")) == other.identity()


@pytest.mark.parametrize("name", ["model/config.json", "adapter/adapter_config.json"])
def test_files_that_are_not_of_a_run_are_never_taken_over(s3: S3, there: str, name: str) -> None:
    s3.write(f"{there}/{name}", b"{}")

    with pytest.raises(TrainerError, match="files that are not of a run of ours"):
        opened(config(there, 3))


def test_a_disk_without_space_for_a_copy_is_reported_as_such(s3: S3, there: str) -> None:
    s3.write(f"{there}/file", b"content")

    with pytest.raises(TrainerError) as caught:
        Bucket(f"s3://{BUCKET}/{there}", "model").download({"file": Path("/dev/full")})

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.INTERNAL, "ScratchFull")
    assert "model.source" in caught.value.message
