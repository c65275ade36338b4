"""Warns of files of rows that belong to no split, so that nobody misses them."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from datasets.data_files import FILES_TO_IGNORE

from finetune_api.reasons import Reason
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import listed
from finetune_trainer.data.readers.decoding import FORMATS


def warn_of_unread_files(source: str, read: Sequence[str], every: Sequence[str]) -> None:
    """Warn of files of rows of a repository that are in no split. A data set with configurations lists those that are."""
    others = [
        str(name)
        for name in map(PurePosixPath, every)
        if str(name) not in read
        and name.suffix.lower() in FORMATS
        and name.name not in FILES_TO_IGNORE
        and not any(part.startswith((".", "__")) for part in name.parts)
    ]
    warn_of_unread(source, others)


def warn_of_unread(source: str, others: Sequence[str]) -> None:
    """Warn of the files that hold rows and are in no split."""
    if others:
        warn(
            Reason.FILES_NOT_READ,
            f"{source}: by their names or format these belong to no split, and are not read: {listed(others, 8)}",
        )
