"""Where this process leaves its final word: in the pod's termination message, or with `launch`, which started it."""

import os
from pathlib import Path

from finetune_api.report import ENV_TERMINATION_LOG

ENV_WORDS = "FINETUNE_WORDS"
"""Set by `launch` for each process that it starts: a folder, where the rank names the file."""


def is_launched() -> bool:
    """Whether this is one of several processes, started by `launch`."""
    return ENV_WORDS in os.environ


def is_main() -> bool:
    """Whether this is the process that speaks for the run."""
    return not is_launched() or os.environ["RANK"] == "0"


def place() -> Path | None:
    """The file for the final word, if anyone wants it."""
    if is_launched():
        return Path(os.environ[ENV_WORDS]) / f"{os.environ['RANK']}.json"
    path = os.environ.get(ENV_TERMINATION_LOG)
    return Path(path) if path else None
