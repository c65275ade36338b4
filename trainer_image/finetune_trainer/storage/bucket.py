"""A bucket (s3, gs, az), by fsspec."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

from finetune_trainer.storage.credentials import Role, storage_options
from finetune_trainer.storage.errors import bucket_not_found, problem_of, remote_failures
from finetune_trainer.storage.layout import MODEL, NEW, WRITE_PROBE
from finetune_trainer.storage.place import Entry

_FILES_AT_ONCE = 4
_LOOK_SECONDS = 10.0
"""For what lies beside a place that is not there. A folder may have millions of objects, a thousand in an answer."""
_NO_CONDITIONS = ("NotImplemented", "InvalidArgument", "InvalidRequest")


class Bucket:
    """A folder or file of a bucket (s3, gs, az)."""

    pause_seconds = 1.0
    model_folder = MODEL

    def __init__(self, uri: str, role: Role) -> None:
        self.uri = uri.rstrip("/")
        self._role = role
        self._scheme, _, self._root = self.uri.partition("://")
        self._fs: Any = None

    def probe(self) -> None:
        # Not a name of its own each time: in a bucket with versions each would stay for ever.
        name = WRITE_PROBE
        with self._failures():
            try:
                self._filesystem().pipe_file(self._path(name), b"x")
            except FileNotFoundError as error:  # gcsfs gives no more
                raise bucket_not_found(self.uri, self._role) from error
        self.remove([name], first=name)  # another that looks at the same time may have done that

    def entries(self, folder: str = "") -> dict[str, Entry]:
        with self._failures():
            found = self._filesystem().find(self._path(folder), detail=True)
            if isinstance(found, list):  # adlfs, where the path is that of a file
                found = {path: self._filesystem().info(path) for path in found}
        return {
            path.removeprefix(self._root).lstrip("/"): _entry(info)
            for path, info in found.items()
            # Consoles make objects that end in / to show a folder; and no name may lead out of where we put it.
            if not path.endswith("/") and ".." not in path.split("/")
        }

    def siblings(self) -> list[str] | None:
        """Return the names in the folder of the bucket that this one is in; None where that is not to be known."""
        above, _, _ = self._root.rpartition("/")
        if not above:
            return None
        try:
            found = self._filesystem().ls(above, detail=False, timeout=_LOOK_SECONDS)
        except Exception:  # noqa: BLE001 - it is asked for to explain another failure, and each library has its own
            return None
        below = {path.rstrip("/") for path in found} - {above}  # consoles make an object for the folder itself
        return sorted({path.rpartition("/")[2] for path in below} - {""})

    def read(self, name: str) -> bytes | None:
        with self._failures():
            try:
                return bytes(self._filesystem().cat_file(self._path(name)))
            except Exception as error:  # each library has its own
                if problem_of(error) == "missing":
                    return None
                raise

    def download(self, files: Mapping[str, Path]) -> None:
        with self._failures():
            names = list(files)
            self._filesystem().get(
                [self._path(name) for name in names], [str(files[name]) for name in names], batch_size=_FILES_AT_ONCE
            )

    def write(self, name: str, content: bytes) -> None:
        with self._failures():
            self._filesystem().pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> None:
        with self._failures():
            try:
                self._filesystem().pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                pass
            except OSError as error:
                # Not every S3 server knows conditional writes.
                if not any(word in repr((error, error.__cause__)) for word in _NO_CONDITIONS):
                    raise
                self._filesystem().pipe_file(self._path(name), content)

    def put(self, files: Mapping[str, Path | bytes], last: str, removed: Collection[str] = ()) -> None:
        self.remove({last, *removed}, first=last)
        with self._failures():
            for name in sorted(files, key=lambda name: name == last):
                # One after the other: a large file is sent in several parts at once, which takes memory enough.
                if isinstance(content := files[name], bytes):
                    self._filesystem().pipe_file(self._path(name), content)
                else:
                    self._filesystem().put_file(str(content), self._path(name))

    def replace(self, folder: str, files: Mapping[str, Path], last: str) -> None:
        old = self.entries(folder)
        if not old:
            self.put(files, last)
            return
        fresh = {name: f"{NEW}{name}" for name in files}
        self.put({fresh[name]: path for name, path in files.items()}, fresh[last])
        self.remove([last], first=last)
        with self._failures():
            for name in sorted(files, key=lambda name: name == last):
                self._filesystem().cp_file(self._path(fresh[name]), self._path(name))
        # More than `fresh` where an earlier attempt was cut.
        self.remove([*(old.keys() - files.keys()), *self.entries(f"{NEW}{folder}")], first=fresh[last])

    def remove(self, names: Collection[str], first: str) -> None:
        for name in sorted(names, key=lambda name: name != first):
            with self._failures():
                try:
                    self._filesystem().rm_file(self._path(name))
                except Exception as error:  # each library has its own
                    if problem_of(error) != "missing":
                        raise

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _filesystem(self) -> Any:
        if self._fs is None:
            # Else gcsfs asks by gRPC which kind of bucket it is: one right more, and a minute where that is not reached.
            os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
            options = storage_options(self._scheme, self._role)
            # Neither shared with another role, nor trusting a listing of a moment ago.
            self._fs = fsspec.filesystem(self._scheme, skip_instance_cache=True, use_listings_cache=False, **options)
        return self._fs

    @contextmanager
    def _failures(self) -> Iterator[None]:
        with remote_failures(self.uri, self._role):
            try:
                yield
            except Exception:
                self._fs = None  # the next attempt connects again, with the credentials that there are then
                raise


def _entry(info: Mapping[str, Any]) -> Entry:
    tags = (
        "ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest", "content_settings",
        "LastModified", "last_modified", "Last-Modified", "mtime",
    )  # fmt: skip
    return Entry(info.get("size"), next((str(info[name]) for name in tags if info.get(name)), ""))
