"""Places of a manifest that a pod has and this machine has not, or the other way round: file:// is the disk of whatever trains."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from finetune_api.base import JsonObject

_SOURCES: Final = ("model", "dataset")


def pod_path_notes(manifest: JsonObject) -> list[str]:
    """Return what somebody should know who submits the manifest, unchecked, to a cluster.

    A path that is not on this machine is taken for one of the image.
    """
    spec = _section(manifest, "spec")
    given = _section(spec, "pod").get("volumeMounts")
    mounts = [
        str(each.get("mountPath")).rstrip("/") + "/"
        for each in (given if isinstance(given, list) else [])
        if isinstance(each, dict)
    ]
    return list(_notes(spec, mounts))


def _notes(spec: JsonObject, mounts: list[str]) -> Iterator[str]:
    for name in _SOURCES:
        path = _path(_section(spec, name).get("source"))
        if path and not _below(path, mounts) and _is_here(path):
            yield (
                f"spec.{name}.source file://{path} is on this machine, and a pod of a cluster sees its own disk: copy it to a bucket or "
                "onto a claim, and name it s3://… or pvc://claim/…"
            )
    path = _path(_section(spec, "output").get("uri"))
    if path and not _below(path, mounts):
        yield (
            f"spec.output.uri file://{path} is on the pod's own disk, and gone with the pod: leave it out, so that a volume is made for it, or "
            "name s3://… or pvc://claim/…"
        )


def _path(uri: object) -> str | None:
    return unquote(urlsplit(uri).path) if isinstance(uri, str) and uri.startswith("file:///") else None


def _is_here(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a folder above it is not for this user, or it is no path that there can be
        return False


def _below(path: str, mounts: list[str]) -> bool:
    return any(f"{path}/".startswith(mount) for mount in mounts)


def _section(parent: JsonObject, name: str) -> dict[str, Any]:
    section = parent.get(name)
    return section if isinstance(section, dict) else {}
