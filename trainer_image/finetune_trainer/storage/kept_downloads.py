"""Downloads that the attempts of one job hand to each other, on the volume that the operator makes for its output.

They are copied there once all of them are here, and copied back with their digests compared: a volume that is small, slow or torn costs
a download and no more. The folder is complete or absent, and is deleted when the run has ended.
"""

import hashlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from finetune_api.report import ENV_DOWNLOADS
from finetune_trainer.base.files import remove_folder, sync_folder, sync_folders, write_atomically
from finetune_trainer.storage.uris import cache_folder

logger = logging.getLogger(__name__)

SHARE = 4
"""They take at most one part in so many of what is free on the volume."""
_INDEX = "index.json"
_FILES = "files"
_NOT_DOWNLOADS = (".lock", ".incomplete", ".partial")
_CHUNK_BYTES = 2**22
_FINISH_SECONDS = 30.0
"""Less than a pod has from SIGTERM to its end."""


class _Cancelled(Exception):
    """The run has ended while its downloads were being copied."""


@dataclass(frozen=True)
class _Index:
    """What is in the folder, by names such as `hub/models--org--name/blobs/0123…`."""

    files: dict[str, tuple[int, str]]
    """Size and SHA-256."""
    links: dict[str, str]
    """Where symbolic links lead, relative to their own folder. Not every volume takes them."""

    @classmethod
    def read(cls, folder: Path) -> "_Index | None":
        """Return None where there is none, or none that is as `leave` writes it."""
        try:
            content = json.loads((folder / _INDEX).read_bytes())
            files = {str(name): (int(size), str(digest)) for name, (size, digest) in content["files"].items()}
            return cls(files, {str(name): str(target) for name, target in content["links"].items()})
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, folder: Path) -> None:
        write_atomically(folder / _INDEX, json.dumps({"files": self.files, "links": self.links}).encode())


class _Copying:
    """Copies downloads to the volume in a thread, while the run goes on."""

    def __init__(self, folder: Path, reserved: int) -> None:
        self._folder, self._reserved = folder, reserved
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="downloads", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        self._cancelled.set()
        self._thread.join()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        partial = self._folder.with_name(f"{self._folder.name}.partial")
        try:
            shutil.rmtree(partial, ignore_errors=True)  # of an attempt that was killed
            self._leave(partial)
        except _Cancelled:
            pass
        except OSError as error:
            logger.info("downloads are not kept for the job's next attempts: %s", error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _leave(self, partial: Path) -> None:
        files, links = _downloads()
        sizes = {name: path.stat().st_size for name, path in files.items()}
        before, total = _Index.read(self._folder), sum(sizes.values())
        if before is not None and sizes.items() <= {name: size for name, (size, _) in before.files.items()}.items():
            return
        remove_folder(self._folder, self._folder.parent)
        free = shutil.disk_usage(self._folder.parent).free
        if not total or total > min(free // SHARE, free - self._reserved):
            if total:
                logger.info(
                    "downloads are not kept for the job's next attempts: %d MB, and %d MB are free on its volume",
                    round(total / 1e6), round(free / 1e6),
                )  # fmt: skip
            return
        kept = {
            name: (sizes[name], _copy(path, partial / _FILES / name, self._cancelled)) for name, path in files.items()
        }
        _Index(kept, links).write(partial)
        sync_folders(partial)
        partial.rename(self._folder)
        sync_folder(self._folder.parent)
        logger.info("kept for the job's next attempts: %d files, %d MB", len(kept), round(total / 1e6))


_copying: _Copying | None = None


def fetch() -> None:
    """Bring back what an earlier attempt left, where nothing of that name is here; once on each machine.

    What is not as it was left is downloaded again.
    """
    folder = _folder()
    index = _Index.read(folder) if folder and os.environ.get("LOCAL_RANK", "0") == "0" else None
    if folder is None or index is None:
        return
    wrong = [name for name, (_, digest) in index.files.items() if not _fetch(folder / _FILES / name, name, digest)]
    for name, target in index.links.items():
        link = _place(name)
        if link is None or _place((PurePosixPath(name).parent / target).as_posix()) is None or os.path.lexists(link):
            continue
        with suppress(OSError):
            link.parent.mkdir(parents=True, exist_ok=True)
            if (link.parent / target).is_file():
                link.symlink_to(target)
    if wrong:
        logger.warning("downloaded again, since it is not as an earlier attempt left it: %s", ", ".join(wrong[:3]))
        shutil.rmtree(folder, ignore_errors=True)
    logger.info("took over %d files that an earlier attempt has downloaded", len(index.files) - len(wrong))


def leave(reserved: int) -> None:
    """Begin to copy all that was downloaded to the volume, if it takes no more than its share of what is free there.

    Args:
        reserved: Bytes that the run itself will write there.
    """
    global _copying
    folder = _folder()
    if folder is not None and _copying is None:
        _copying = _Copying(folder, reserved)


def finish() -> None:
    """Another attempt may come: wait for what is being copied for it, but not for long."""
    if _copying is not None:
        _copying.wait(_FINISH_SECONDS)


def clear() -> None:
    """No attempt comes after this one."""
    global _copying
    if _copying is not None:
        _copying.cancel()
        _copying = None
    if folder := _folder():
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path | None:
    folder = os.environ.get(ENV_DOWNLOADS)
    return Path(folder) if folder else None


def _places() -> dict[str, Path]:
    """Return where downloads are on this machine, by what their names in the folder begin with."""
    from huggingface_hub import constants  # which reads the environment when it is imported

    return {"hub": Path(constants.HF_HUB_CACHE), "sources": cache_folder() / "sources"}


def _place(name: str) -> Path | None:
    """Return where a file of the folder belongs; None for a name that would lead elsewhere."""
    name = os.path.normpath(name)
    kind, _, rest = name.partition("/")
    place = _places().get(kind)
    if place is None or not rest:
        return None
    if kind == "sources":  # a copy is taken for complete by its name, and of an incomplete one what is there is kept
        key, _, rest = rest.partition("/")
        return place / f"{key}.partial" / rest if rest else None
    return place / rest


def _downloads() -> tuple[dict[str, Path], dict[str, str]]:
    """Return the files that were downloaded, and the links to them, by their names in the folder."""
    files: dict[str, Path] = {}
    links: dict[str, str] = {}
    for kind, place in _places().items():
        for path in _below(place):
            name = f"{kind}/{path.relative_to(place).as_posix()}"
            if path.is_symlink():
                links[name] = str(path.readlink())
            else:
                files[name] = path
    return files, links


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != ".locks" and not name.endswith(_NOT_DOWNLOADS))
        yield from (Path(root, name) for name in sorted(names) if not name.endswith(_NOT_DOWNLOADS))


def _fetch(source: Path, name: str, digest: str) -> bool:
    """Whether a file is here: as it was left, or because it was here before."""
    place = _place(name)
    if place is None:
        return False
    if place.exists():
        return True
    part = place.with_name(f"{place.name}.incomplete")
    try:
        if _copy(source, part) == digest:
            part.rename(place)
            return True
    except OSError as error:
        logger.info("%s cannot be taken over: %s", name, error)
    with suppress(OSError):
        part.unlink(missing_ok=True)
    return False


def _copy(source: Path, target: Path, cancelled: threading.Event | None = None) -> str:
    """Copy a file through to the disk, and return the SHA-256 of what was read."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            if cancelled is not None and cancelled.is_set():
                raise _Cancelled
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()
