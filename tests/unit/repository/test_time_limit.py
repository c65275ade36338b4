"""A test that hangs fails, and holds up no other."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from devcluster.testing.api import PATIENCE

ROOT = Path(__file__).parents[3]
HANGS = """
import threading

def test_that_hangs():
    threading.Thread(target=threading.Event().wait, daemon=True, name="helper").start()
    threading.Event().wait()

def test_after_it():
    pass
"""


@pytest.mark.slow
def test_a_test_that_hangs_fails_with_the_stacks_of_all_threads_and_the_next_one_runs(tmp_path: Path) -> None:
    (tmp_path / "test_hangs.py").write_text(HANGS)
    config = [
        "-c",
        ROOT / "pyproject.toml",
        "--rootdir",
        tmp_path,
        "--override-ini=timeout=1",
        "-p",
        "no:cacheprovider",
    ]

    command = [sys.executable, "-m", "pytest", *config, tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert "1 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "def test_that_hangs" in ended.stdout
    assert "Stack of helper" in ended.stdout


@pytest.mark.parametrize("suite", [ROOT, ROOT / "devcluster"], ids=["product", "devcluster"])
def test_each_suite_has_a_limit_above_its_patience_and_one_for_native_code_that_hears_no_signal(suite: Path) -> None:
    options = tomllib.loads((suite / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]

    assert PATIENCE < options["timeout"] < options["faulthandler_timeout"]
    assert (options["timeout_method"], options["faulthandler_exit_on_timeout"]) == ("signal", True)
