"""Copies of models and data from buckets and the web on this machine: one copy for each content."""

import hashlib
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlparse

from filelock import FileLock

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, bad_configuration
from finetune_trainer.storage.bucket import Bucket
from finetune_trainer.storage.credentials import FIELDS, Role
from finetune_trainer.storage.errors import explain, remote_failures
from finetune_trainer.storage.place import Entry
from finetune_trainer.storage.uris import Volumes, cache_folder, is_path, locate
from finetune_trainer.storage.web import WebFile

logger = logging.getLogger(__name__)

_FILES_AT_ONCE = 4


def find_source(source: str, role: Role, volumes: Volumes) -> Path:
    """Return the path on this machine of a source that is not on the Hub. There may be nothing at a local one.

    Raises:
        TrainerError: It cannot be read (MODEL or DATA), or was not reached (INTERNAL).
    """
    if is_path(source):
        return locate(source, volumes)
    if role == "model" and source.startswith("https://"):
        raise bad_configuration(
            f"model.source {source}: a model is a folder, and https:// gives single files only",
            "use a model of the Hub, a bucket (s3://, gs://, az://) or a volume (pvc://)",
        )
    place = WebFile(source) if source.startswith("https://") else Bucket(source, role)
    entries = place.entries()
    if not entries:
        raise explain(FileNotFoundError(source), source, role)
    folder = _copy(place, role, entries)
    return folder / _file_name(source) if entries.keys() == {""} else folder


def _copy(place: Bucket | WebFile, role: Role, entries: Mapping[str, Entry]) -> Path:
    """Return a folder with all files: one that an earlier run has copied, or a new one. It is complete or absent."""
    folder = cache_folder() / "sources" / _key(place.uri, entries)
    with remote_failures(place.uri, role):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                _download(place, role, entries, folder.with_name(f"{folder.name}.partial"))
                folder.with_name(f"{folder.name}.partial").rename(folder)
    return folder


def _download(place: Bucket | WebFile, role: Role, entries: Mapping[str, Entry], partial: Path) -> None:
    """Download all files to `partial`. A file that a killed attempt has downloaded in full is not read again."""
    paths = {name: partial / (name or _file_name(place.uri)) for name in entries}
    size = sum(entry.size or 0 for entry in entries.values())
    logger.info("copying %s here: %d files, %d MB", place.uri, len(entries), round(size / 1e6))

    def copy(name: str) -> None:
        path = paths[name]
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        place.download({name: part})
        expected = entries[name].size
        if expected is not None and part.stat().st_size != expected:
            part.unlink()
            raise TrainerError(
                ExitCode.INTERNAL,
                Reason.STORAGE_UNREACHABLE,
                f"{FIELDS[role]} {place.uri}: {name or 'the file'} came with another size than it has there",
                "was it changed meanwhile? The next attempt reads it again",
            )
        part.rename(path)

    with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="download") as pool:
        for done in [pool.submit(copy, name) for name in sorted(entries)]:
            done.result()
    for leftover in partial.rglob("*.part"):
        leftover.unlink()


def _key(uri: str, entries: Mapping[str, Entry]) -> str:
    """Return a key of the content, by the tags that the place gives; without tags, as of some web servers, of the address."""
    content = [[name, entry.size, entry.tag] for name, entry in sorted(entries.items())]
    return hashlib.sha256(json.dumps([uri, content]).encode()).hexdigest()[:32]


def _file_name(uri: str) -> str:
    """Return the name of a single file, with the suffix that its format is known by."""
    return PurePosixPath(unquote(urlparse(uri).path)).name
