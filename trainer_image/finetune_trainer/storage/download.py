"""Copies of models and data from buckets and the web on this machine: one copy for each content."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlparse

from filelock import FileLock

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, bad_configuration
from finetune_trainer.base.files import files_below, sha256_of, write_atomically
from finetune_trainer.storage.bucket import Bucket
from finetune_trainer.storage.credentials import FIELDS, Role
from finetune_trainer.storage.errors import nothing_there, remote_failures
from finetune_trainer.storage.place import Entry
from finetune_trainer.storage.secret_places import check_holds_no_secret
from finetune_trainer.storage.shared_cache import shared_root, use
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
        path = locate(source, volumes)
        check_holds_no_secret(path, source, role)
        return path
    if role == "model" and source.startswith("https://"):
        raise bad_configuration(
            f"model.source {source}: a model is a folder, and https:// gives single files only",
            "use a model of the Hub, a bucket (s3://, gs://, az://) or a volume (pvc://)",
        )
    place = WebFile(source) if source.startswith("https://") else Bucket(source, role)
    entries = place.entries()
    if not entries:
        raise nothing_there(place.uri, role, place.siblings() if isinstance(place, Bucket) else None)
    return _copy(place, role, entries)


def _copy(place: Bucket | WebFile, role: Role, entries: Mapping[str, Entry]) -> Path:
    """Return a folder with all files, or the only one: of a copy that an earlier run has made, or of a new one. A copy is complete
    or absent."""
    folder = (shared_root() or cache_folder()) / "sources" / _key(place.uri, entries)
    use(folder)
    with remote_failures(place.uri, role):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if folder.exists() and not _is_as_it_came(folder):
                logger.warning("copied again, since the copy in the cache is not as it came: %s", place.uri)
                shutil.rmtree(folder)
            if not folder.exists():
                partial = folder.with_name(f"{folder.name}.partial")
                _download(place, role, entries, partial)
                if shared_root():
                    write_atomically(_digests(folder), json.dumps(_sums(partial)).encode())
                partial.rename(folder)
    return folder / _file_name(place.uri) if entries.keys() == {""} else folder


def _digests(folder: Path) -> Path:
    """The file beside a copy that has the digest of each of its files."""
    return folder.with_name(f"{folder.name}.digests")


def _sums(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files_below(folder)}


def _is_as_it_came(folder: Path) -> bool:
    """Whether a copy that others may have changed since is what was downloaded; asked once on each machine."""
    if shared_root() is None or os.environ.get("LOCAL_RANK", "0") != "0":
        return True
    try:
        return bool(json.loads(_digests(folder).read_bytes()) == _sums(folder))
    except (FileNotFoundError, ValueError):
        return False


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
                "was it changed meanwhile? Another attempt reads it again",
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
