"""A job without a cache downloads once: its own volume keeps models and data for its next attempts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

pytestmark = pytest.mark.slow


def test_a_retry_downloads_nothing_and_the_volume_of_a_job_that_has_ended_holds_its_outputs_alone(
    model: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        rows = datasets.Dataset.from_csv(str(data / f"{split}.csv"), cache_dir=str(tmp_path / "rows"))
        rows.to_parquet(tmp_path / "data" / f"{split}.parquet")

    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("kept_downloads_runs.py"), tmp_path],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    first, second = json.loads(done.stdout.splitlines()[-1])

    assert (first["code"], second["code"]) == (1, 0)
    assert {"model/model.safetensors", "data/train.parquet", "data/test.parquet"} <= first["downloads"].keys()
    assert {".downloads", ".tokens"} <= set(first["volume"])
    assert second["downloads"] == {}
    assert second["volume"] == ["checkpoints", "history.jsonl", "logs", "model", "run.json"]
