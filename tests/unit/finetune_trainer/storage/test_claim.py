"""An output belongs to one run: the same run may come back, and no other may write there."""

import errno
import json
import os
from pathlib import Path

import pytest

from finetune_api.report import ExitCode
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage.claim import claim_output
from finetune_trainer.storage.find_output import open_output
from finetune_trainer.storage.output import Output


def config(uri: str, epochs: int = 3, job: str | None = None) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "org/name"},
            "dataset": {"source": "org/data", "train": {"split": "train"}},
            "training": {"epochs": epochs},
            "output": {"uri": uri},
            "job": {"namespace": "a", "name": "b", "uid": job} if job else None,
        }
    )


def opened(run: RunConfig) -> Output:
    return open_output(run.output.uri, run.identity(), {})


def claim(run: RunConfig) -> None:
    claim_output(opened(run), run.identity())


def failure_of(run: RunConfig) -> tuple[ExitCode, str, str]:
    with pytest.raises(TrainerError) as caught:
        opened(run)
    return caught.value.exit_code, caught.value.reason, caught.value.message


def test_the_same_run_may_come_back_and_another_may_not(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/out"
    claim(config(uri, job="1"))
    claim(config(uri, job="1"))

    assert failure_of(config(uri, epochs=4, job="1")) == (
        ExitCode.OUTPUT,
        "OutputInUse",
        f"{uri} holds a run with other settings",
    )
    assert failure_of(config(uri, job="2"))[1:] == ("OutputInUse", f"{uri} holds the run of another job")


def test_of_two_jobs_that_claim_a_volume_at_once_one_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = (config(f"file://{tmp_path}/out", job=uid) for uid in ("1", "2"))
    output, sync = opened(mine), os.fsync

    def the_other_is_faster(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        claim(theirs)

    monkeypatch.setattr(os, "fsync", the_other_is_faster)
    with pytest.raises(TrainerError, match="holds the run of another job"):
        claim_output(output, mine.identity())

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.json"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["jobUid"] == "2"


def test_a_volume_without_links_can_be_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*arguments: object) -> None:
        raise PermissionError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", no_links)
    mine = config(f"file://{tmp_path}/out", job="1")
    claim(mine)

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.json"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["jobUid"] == "1"


def test_an_output_that_was_only_looked_at_is_free_for_another_run(tmp_path: Path) -> None:
    opened(config(f"file://{tmp_path}/out", epochs=3))

    opened(config(f"file://{tmp_path}/out", epochs=4))

    assert list((tmp_path / "out").iterdir()) == []


def test_foreign_files_are_never_taken_over(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()

    assert failure_of(config(f"file://{tmp_path}"))[1:] == (
        "OutputInUse",
        f"file://{tmp_path} holds files that are not of a run of ours",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_broken_marker_counts_as_foreign(tmp_path: Path) -> None:
    for content in ("{", json.dumps(["a list"])):
        (tmp_path / "run.json").write_text(content)

        assert failure_of(config(f"file://{tmp_path}"))[1] == "OutputInUse"


def test_an_output_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert failure_of(config(f"file://{tmp_path}/file"))[:2] == (ExitCode.OUTPUT, "OutputNotWritable")
    assert failure_of(config(f"file://{tmp_path}/file/below"))[:2] == (ExitCode.OUTPUT, "OutputFailed")


def test_a_file_system_that_only_reads_is_named() -> None:
    assert failure_of(config("file:///proc/finetune"))[0] == ExitCode.OUTPUT
