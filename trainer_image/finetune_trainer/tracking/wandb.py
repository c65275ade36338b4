"""W&B in its offline mode: a folder in the output for `wandb sync`, made anew from the history when an attempt ends."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from finetune_api.tracking import Tracking, Wandb
from finetune_trainer.progress.history import Measured, Sent
from finetune_trainer.storage.layout import WANDB
from finetune_trainer.storage.output import Output
from finetune_trainer.tracking.tracker import Description, Outcome, TrackerFailure

PROGRAM: Final = [sys.executable, "-P", "-m", "finetune_trainer.tracking.wandb_client"]
_LONGEST_SECONDS: Final = 60.0
"""For so long the client may write; 20,000 points take it about four seconds."""
_STEP: Final = "train/global_step"
"""The metric that is the x-axis of all others, as with transformers' own callback. W&B's own step counts the rows."""


class WandbTracker:
    """One offline run, whose content is that of the history: what a resumed run takes back is not in it."""

    name = "wandb"

    def __init__(self, settings: Wandb, output: Output, run: Description) -> None:
        self._settings = settings
        self._output = output
        self._run = run
        self._rows: list[dict[str, float]] = []

    @property
    def url(self) -> str | None:
        return self._output.uri_of(self._output.path / WANDB)

    def open(self) -> Sent:
        self._rows = []
        return Sent()

    def send(self, points: Sequence[Measured]) -> None:
        self._rows += [{**point.grouped(), _STEP: point.step, "_timestamp": point.time} for point in points]

    def finish(self, outcome: Outcome) -> None:
        with tempfile.TemporaryDirectory(prefix="finetune-wandb-", ignore_cleanup_errors=True) as folder:
            content = self._write(Path(folder), outcome)
        # Only a folder of such a name is an offline run to `wandb sync`.
        there = f"{WANDB}/offline-run-{self._run.id}"
        self._output.remove_files(there)
        self._output.grow_file(f"{there}/run-{self._run.id}.wandb", content)

    def _write(self, folder: Path, outcome: Outcome) -> bytes:
        """Return the file of the run, as W&B's client writes it."""
        run: dict[str, Any] = {
            "project": self._settings.project,
            "entity": self._settings.entity,
            "id": self._run.id,
            "name": self._run.title,
            "config": {**self._run.parameters, **self._run.tags},
            "dir": str(folder),
        }
        exit_code = 1 if outcome == "failed" else 0
        asked = json.dumps({"run": run, "step": _STEP, "rows": self._rows, "exit_code": exit_code})
        try:
            done = subprocess.run(
                PROGRAM, input=asked, env=_environment(folder), cwd=folder, capture_output=True, text=True,
                check=False, timeout=_LONGEST_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise TrackerFailure(f"W&B's client has not written the run after {_LONGEST_SECONDS:.0f} s") from error
        files = list(folder.glob("wandb/offline-run-*/*.wandb"))
        if done.returncode or not files:
            last = next(reversed(done.stderr.strip().splitlines()), f"it ended with {done.returncode}")
            raise TrackerFailure(f"W&B's client cannot write the run: {last}")
        return files[0].read_bytes()


def make(settings: Tracking, output: Output, run: Description) -> WandbTracker:
    """Return the offline run in the output."""
    if settings.wandb is None:
        raise ValueError("tracking.wandb is not set")
    return WandbTracker(settings.wandb, output, run)


def _environment(folder: Path) -> dict[str, str]:
    """Return variables without any that would change what the client does, and with places that it may write to."""
    places = {f"WANDB_{each}_DIR": str(folder / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
    given = {name: text for name, text in os.environ.items() if not name.startswith("WANDB_")}
    return given | places | {"WANDB_ERROR_REPORTING": "false"}
