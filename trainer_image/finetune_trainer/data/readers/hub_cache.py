"""Data sets of the Hub that were downloaded before, for when it is out of reach."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from finetune_trainer.data.readers.decoding import FORMATS


def rows_at_hand(repository: str, revision: str) -> Path | None:
    """The folder with the files of a data set; None where none of them holds rows."""
    try:
        folder = Path(snapshot_download(repository, repo_type="dataset", revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError):
        return None
    return folder if any(path.suffix in FORMATS for path in folder.rglob("*")) else None
