"""A trainer whose pod is not the job's any more ends at once, whatever its training is doing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_api.report import ENV_TERMINATION_LOG, ExitCode, FinalReport

PROGRAM = """
import logging, threading
from finetune_trainer.__main__ import _leave
from finetune_trainer.progress.state import RunState

logging.basicConfig(format="%(message)s")
threading.Thread(target=_leave, args=(RunState(),)).start()
while True:
    try:
        threading.Event().wait()
    except BaseException:
        pass
"""


@pytest.mark.thorough
def test_it_saves_nothing_ends_as_one_that_was_stopped_and_says_why(tmp_path: Path) -> None:
    environment = {**os.environ, ENV_TERMINATION_LOG: str(tmp_path / "termination")}

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    final = FinalReport.model_validate_json((tmp_path / "termination").read_text())
    assert (done.returncode, final.exit_code, final.failure) == (143, ExitCode.STOPPED, None)
    assert "this pod is not the job's any more" in done.stderr
