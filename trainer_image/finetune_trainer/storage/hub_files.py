"""Files of the Hub that other jobs have left in the shared cache: compared with what the Hub says that they are."""

import logging
import os
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi

from finetune_trainer.storage.shared_cache import shared_root

logger = logging.getLogger(__name__)


def check_shared_files(kind: Literal["model", "dataset"], repository: str, commit: str, token: str | None) -> None:
    """Delete files of this commit whose digests are not the Hub's, so that they are downloaded again.

    A Hub that cannot list its files, as some mirrors, is no obstacle.
    """
    root = shared_root()
    if root is None or os.environ.get("LOCAL_RANK", "0") != "0":  # once on each machine
        return
    snapshot = root / "hub" / f"{kind}s--{repository.replace('/', '--')}" / "snapshots" / commit
    if not snapshot.is_dir():
        return
    try:
        found = HfApi().verify_repo_checksums(repository, repo_type=kind, revision=commit, token=token)
    except Exception as error:  # noqa: BLE001 - whatever the Hub or a mirror of it answers
        logger.info("files of %s in the cache cannot be compared with the Hub: %s", repository, error)
        return
    for mismatch in found.mismatches:
        logger.warning("downloaded again, since it is not what the Hub has: %s of %s", mismatch["path"], repository)
        _delete(snapshot / mismatch["path"], root)


def _delete(path: Path, root: Path) -> None:
    blob = path.resolve()
    path.unlink(missing_ok=True)
    if blob.is_relative_to(root.resolve()):
        blob.unlink(missing_ok=True)
