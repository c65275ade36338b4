"""The volume that the operator makes for a job's output, and whether there is anything on it to keep."""

import os
from pathlib import Path

from finetune_api.report import ENV_OWN_VOLUME
from finetune_trainer.storage.layout import CHECKPOINTS, HINT, HISTORY, LOGS, RUN, RUNS

_WORTH_NOTHING = (RUN, HINT, HISTORY, LOGS, "lost+found")
"""Without a checkpoint or a model. So is all whose name begins with a dot: it is unfinished, or can be had again."""


def own_volume_is_empty() -> bool:
    """Return whether the job's own volume holds no checkpoint, no model, and nothing that this trainer does not know.

    False where there is no such volume, and where it cannot be read.
    """
    folder = os.environ.get(ENV_OWN_VOLUME)
    try:
        return bool(folder) and _is_empty(Path(folder or ""))
    except OSError:
        return False


def _is_empty(output: Path) -> bool:
    """Return whether an output holds nothing to keep, and neither do those of later runs in it."""
    for path in output.iterdir():
        if path.name == CHECKPOINTS:
            kept = any(not each.name.startswith(".") for each in path.iterdir())
        elif path.name == RUNS:
            kept = not all(_is_empty(each) for each in path.iterdir())
        else:
            kept = path.name not in _WORTH_NOTHING and not path.name.startswith(".")
        if kept:
            return False
    return True
