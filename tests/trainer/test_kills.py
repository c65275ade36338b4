"""Killed at moments that nobody chose: what was told to be saved is there, loads, and is gone on from."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.s3_server import BUCKET, S3

REPOSITORY = Path(__file__).parents[2]


def kill(times: int, uri: str, folder: Path, *options: str) -> dict[str, Any]:
    """Kill one process after the other that saves to `uri`; each checks what the one before has left."""
    command = [sys.executable, "-m", "tests.trainer.kill_at_random", str(times), uri, folder, *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    print(f"\n{uri}: {told}")
    return told


def assert_nothing_was_lost(told: dict[str, Any], kills: int) -> None:
    assert told["kills"] == kills
    assert told["checked"] > kills
    newest = told["newest"]
    assert all(before <= after for before, after in pairwise(newest))
    assert newest[-1] > kills / 4


@pytest.mark.parametrize(
    "kills", [pytest.param(20, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.bench)]
)
def test_no_kill_while_saving_costs_a_checkpoint_that_was_reported(tmp_path: Path, kills: int) -> None:
    assert_nothing_was_lost(kill(kills, f"file://{tmp_path}/out", tmp_path), kills)


@pytest.mark.bench
def test_no_kill_while_uploading_costs_a_checkpoint_that_was_reported(tmp_path: Path, s3: S3) -> None:
    assert_nothing_was_lost(kill(60, f"s3://{BUCKET}/{tmp_path.name}", tmp_path, "--window", "0.4"), 60)
