"""Which failure of a job's attempts is the last one: no pod is told, so that they count them, on the job's own volume."""

import os
from contextlib import suppress
from pathlib import Path

from finetune_api.report import ENV_OWN_VOLUME, ENV_RETRIES
from finetune_trainer.base.files import write_atomically

_COUNT = ".failures"


def count_failure() -> bool:
    """Count a failure of this attempt. Return whether it ends the job, as far as the attempts could count.

    One that was killed has counted nothing.
    """
    file, retries = _file(), os.environ.get(ENV_RETRIES, "")
    if file is None or not retries.isdigit():
        return False
    try:
        count = 1 + (int(file.read_bytes()) if file.exists() else 0)
        write_atomically(file, str(count).encode())
    except (OSError, ValueError):
        return False
    return count > int(retries)


def forget_failures() -> None:
    """No attempt comes after this one; those of another run are counted anew."""
    if file := _file():
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _file() -> Path | None:
    folder = os.environ.get(ENV_OWN_VOLUME)
    return Path(folder) / _COUNT if folder else None
