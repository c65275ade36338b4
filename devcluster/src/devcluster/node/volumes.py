"""A pod's volumes as folders on this machine.

There is no mount namespace: `readOnly` and `sizeLimit` are not enforced, and an emptyDir in memory is a folder on disk.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from devcluster.client import Object
from devcluster.node.sources import Sources, UnresolvedReference, field_value

_DEFAULT_MODE = 0o644
DEFAULT_TOKEN_LIFETIME = 3600
"""Seconds that a projected token lives when the pod does not say."""

TokenKey = tuple[str, int]
"""Audience (empty for the API server's own) and lifetime in seconds."""


@dataclass(frozen=True)
class File:
    """A file of a volume, with content from the API."""

    content: bytes
    mode: int = _DEFAULT_MODE


def wanted_tokens(pod: Object) -> set[TokenKey]:
    """Return the service account tokens that the pod's projected volumes need."""
    return {
        _token_key(source["serviceAccountToken"])
        for volume in pod["spec"].get("volumes") or []
        for source in (volume.get("projected") or {}).get("sources") or []
        if source.get("serviceAccountToken")
    }


def _token_key(projection: Object) -> TokenKey:
    return projection.get("audience") or "", projection.get("expirationSeconds") or DEFAULT_TOKEN_LIFETIME


def is_written_from_api(volume: Object) -> bool:
    """Return whether a volume has files from API objects, and so is written again when they change."""
    return any(kind in volume for kind in ("configMap", "secret", "projected", "downwardAPI"))


def volume_files(
    pod: Object,
    volume: Object,
    sources: Sources,
    tokens: Mapping[TokenKey, str],
) -> dict[str, File]:
    """Return the files of a volume with content from the API, by path relative to the volume.

    Raises:
        UnresolvedReference: a ConfigMap, Secret, key or field is missing and not optional.
    """
    for kind in ("configMap", "secret", "projected", "downwardAPI"):
        if source := volume.get(kind):
            break
    else:
        raise ValueError(f"volume {volume['name']} is not written from the API")
    default = source.get("defaultMode", _DEFAULT_MODE)
    projections = source.get("sources") or [] if kind == "projected" else [{kind: source}]
    files: dict[str, File] = {}
    for projection in projections:
        for path, file in _projected(pod, projection, sources, tokens, default):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise UnresolvedReference(f"invalid path {path!r} in volume {volume['name']}")
            files[path] = file
    return files


def _projected(
    pod: Object,
    projection: Object,
    sources: Sources,
    tokens: Mapping[TokenKey, str],
    mode: int,
) -> Iterator[tuple[str, File]]:
    if source := projection.get("configMap"):
        content = sources.config_map(source["name"], optional=bool(source.get("optional")))
        yield from _items(content, source, mode, f'configmap "{source["name"]}"')
    elif source := projection.get("secret"):
        name = source.get("name") or source["secretName"]
        content = sources.secret(name, optional=bool(source.get("optional")))
        yield from _items(content, source, mode, f'secret "{name}"')
    elif source := projection.get("serviceAccountToken"):
        yield source["path"], File(tokens[_token_key(source)].encode(), mode)
    elif source := projection.get("downwardAPI"):
        for item in source.get("items") or []:
            if "fieldRef" not in item:
                raise UnresolvedReference(f"the dev cluster does not serve resourceFieldRef for {item['path']}")
            value = field_value(pod, item["fieldRef"]["fieldPath"])
            yield item["path"], File(value.encode(), item.get("mode", mode))
    else:
        raise UnresolvedReference(f"the dev cluster does not serve projected source {', '.join(projection)}")


def _items(content: Mapping[str, bytes], source: Object, mode: int, what: str) -> Iterator[tuple[str, File]]:
    if not source.get("items"):
        for key, value in content.items():
            yield key, File(value, mode)
        return
    for item in source["items"]:
        if item["key"] in content:
            yield item["path"], File(content[item["key"]], item.get("mode", mode))
        elif not source.get("optional"):
            raise UnresolvedReference(f"{what} references non-existent config key: {item['key']}")


def write_files(folder: Path, files: Mapping[str, File]) -> None:
    """Write these files into `folder` and delete all others. Each is replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, file in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and target.read_bytes() == file.content:
            target.chmod(file.mode)
            continue
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix="..")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(file.content)
        Path(temporary).chmod(file.mode)
        Path(temporary).replace(target)
    for existing in [path for path in folder.rglob("*") if path.is_file()]:
        if existing.relative_to(folder).as_posix() not in files:
            existing.unlink()


def make_host_path(source: Object) -> Path:
    """Return the path of a hostPath volume, created if its type says so.

    Raises:
        UnresolvedReference: its type says that it exists, and it does not.
    """
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    elif (kind == "Directory" and not path.is_dir()) or (kind == "File" and not path.is_file()):
        raise UnresolvedReference(f"hostPath type check failed: {path} is not a {kind.lower()}")
    return path


def mount_places(container: Object, volumes: Mapping[str, Path]) -> dict[str, str]:
    """Return the path on this machine of each mountPath of a container."""
    return {
        mount["mountPath"]: str(volumes[mount["name"]] / (mount.get("subPath") or ""))
        for mount in container.get("volumeMounts") or []
    }


def link_mounts(places: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Create, below `folder`, a folder of links for each folder of the container that has mounts and is not one itself.

    Return the path of each on this machine.
    """
    parents: dict[str, str] = {}
    for mount, place in places.items():
        parent = PurePosixPath(mount).parent
        if str(parent) in places or parent == PurePosixPath("/"):
            continue
        links = folder / parent.relative_to("/")
        links.mkdir(parents=True, exist_ok=True)
        link = links / PurePosixPath(mount).name
        link.unlink(missing_ok=True)
        link.symlink_to(place)
        parents[str(parent)] = str(links)
    return parents
