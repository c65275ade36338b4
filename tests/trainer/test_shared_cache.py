"""The cache of a namespace: one download for all jobs, none for a retry, and nothing that is not what the Hub has."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.made_once import made_once
from tests.s3_server import BUCKET, S3

from finetune_api.report import ENV_CACHE
from finetune_trainer.storage.bucket import Bucket
from finetune_trainer.storage.download import find_source

JOBS = 10


@pytest.fixture(scope="module")
def found(model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `cache_runs` prints and logs, and its folder."""
    found, folder = made_once(tmp_path_factory, "namespace", lambda folder: run_all(model, data, folder))
    return {**found, "folder": folder}


def run_all(model: Path, data: Path, folder: Path) -> dict[str, Any]:
    shutil.copytree(model, folder / "model")
    shutil.copytree(data, folder / "data")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("cache_runs.py"), folder],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            ENV_CACHE: str(folder / "cache"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        check=True,
    )
    return {**json.loads(done.stdout.splitlines()[-1]), "log": done.stderr.decode()}


@pytest.mark.slow
def test_ten_jobs_of_one_model_are_one_download(found: dict[str, Any]) -> None:
    assert found["rows"] == [96] * JOBS
    assert set(found["ten jobs"].values()) == {1}
    assert {"model/model.safetensors", "data/train.csv"} <= found["ten jobs"].keys()
    assert not list((found["folder"] / "home").rglob("*.safetensors"))


@pytest.mark.slow
def test_another_job_downloads_nothing_and_takes_over_the_tokens_of_one_before(found: dict[str, Any]) -> None:
    assert found["codes"] == [0, 0]
    assert found["one more"] == {}
    assert len(list((found["folder"] / "cache" / "tokens").glob("*.arrow"))) == 2
    assert len(list((found["folder"] / "two").rglob("tokenized/*.arrow"))) == 2


def test_a_file_that_is_not_what_the_hub_has_is_downloaded_again(found: dict[str, Any]) -> None:
    assert found["after a change"] == {"model/model.safetensors": 1}
    assert found["as before"]


@pytest.mark.slow
def test_ten_jobs_copy_a_source_of_a_bucket_once_and_again_only_if_the_copy_was_changed(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_CACHE, str(tmp_path / "cache"))
    s3.write(f"{tmp_path.name}/train.csv", b"text,label\na,b\n")
    source, copied, download = f"s3://{BUCKET}/{tmp_path.name}", [], Bucket.download

    def counted(self: Bucket, files: Any) -> None:
        copied.extend(files)
        download(self, files)

    monkeypatch.setattr(Bucket, "download", counted)
    with ThreadPoolExecutor(JOBS) as jobs:
        found = list(jobs.map(lambda _: find_source(source, "dataset", {}), range(JOBS)))
    at_first = list(copied)
    (found[0] / "train.csv").write_bytes(b"text,label\na,evil\n")
    find_source(source, "dataset", {})

    assert (len(set(found)), at_first) == (1, ["train.csv"])
    assert found[0].is_relative_to(tmp_path / "cache")
    assert copied == ["train.csv", "train.csv"]
    assert (found[0] / "train.csv").read_bytes() == b"text,label\na,b\n"
