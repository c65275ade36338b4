"""An image as a file: an OCI layout in a tar, as `docker buildx build --output type=oci` and `podman save` write it.

https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import IO, Any

_ALGORITHM = "sha256:"
_CHUNK = 1024 * 1024


class BrokenArchive(ValueError):
    """The file is no OCI image, or not what its digests say."""


def digest_of(archive: Path) -> str:
    """Return the digest (`sha256:…`) of the image in an archive: that of its manifest, by which a registry knows it too.

    Everything that the manifest refers to is read and compared with its digest. Raises BrokenArchive.
    """
    try:
        with tarfile.open(archive) as tar:
            index = json.loads(_member(tar, "index.json"))
            (described,) = index["manifests"]
            _check(tar, described["digest"])
            return str(described["digest"])
    except (OSError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise BrokenArchive(f"{archive.name}: {error}") from error


def _check(tar: tarfile.TarFile, digest: str) -> None:
    """Verify a manifest, or an index of manifests, and all below it."""
    manifest: dict[str, Any] = json.loads(_blob(tar, digest))
    for child in manifest.get("manifests", ()):
        _check(tar, child["digest"])
    for part in [*([manifest["config"]] if "config" in manifest else []), *manifest.get("layers", ())]:
        _verify(tar, part["digest"])


def _blob(tar: tarfile.TarFile, digest: str) -> bytes:
    _verify(tar, digest)
    return _member(tar, _path(digest))


def _verify(tar: tarfile.TarFile, digest: str) -> None:
    found = hashlib.sha256()
    with _open(tar, _path(digest)) as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    if found.hexdigest() != digest.removeprefix(_ALGORITHM):
        raise BrokenArchive(f"{digest} is {_ALGORITHM}{found.hexdigest()}")


def _path(digest: str) -> str:
    if not digest.startswith(_ALGORITHM):
        raise BrokenArchive(f"{digest} is no digest by SHA-256")
    return f"blobs/sha256/{digest.removeprefix(_ALGORITHM)}"


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    with _open(tar, name) as file:
        return file.read()


def _open(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    if file is None:
        raise BrokenArchive(f"{name} is no file")
    return file
