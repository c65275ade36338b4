"""What a URI of the manifest names: a path on this machine, a repository of the Hub, or a place to connect to."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.text import listed

Volumes = Mapping[str, Path]
"""The folder of each claim of pvc://claim/...: in a pod its mount, on a laptop any folder."""

_REMOTE = ("s3://", "gs://", "az://", "https://")


def is_path(source: str) -> bool:
    """Return whether `source` is a path in a file system of this machine."""
    return source.startswith(("file://", "pvc://"))


def claim_of(uri: str) -> str | None:
    """Return the claim of pvc://claim/path; None for other URIs."""
    return uri.removeprefix("pvc://").partition("/")[0] if uri.startswith("pvc://") else None


def locate(uri: str, volumes: Volumes) -> Path:
    """Return the path of a file:// or pvc:// URI.

    Raises:
        TrainerError: BAD_CONFIGURATION when the claim is not mounted, or the path would leave it.
    """
    scheme, _, rest = uri.partition("://")
    rest = unquote(rest)
    if scheme == "file":
        return Path(rest)
    claim, _, path = rest.partition("/")
    if claim not in volumes:
        known = f"those given are {listed(volumes)}" if volumes else "none is given"
        raise bad_configuration(
            f"{uri}: volume '{claim}' is not known here; {known}",
            f"give its folder: --volume {claim}=/some/folder",
            Reason.VOLUME_NOT_GIVEN,
        )
    # What is decoded is looked at again: an absolute path would not lie in the volume.
    if path.startswith("/") or ".." in Path(path).parts or "\0" in path:
        raise bad_configuration(f"{uri}: the path must not leave its volume")
    return volumes[claim] / path


def cache_folder() -> Path:
    """Return where copies of remote files are kept: `finetune` below XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune"


def is_hub_id(source: str) -> bool:
    """Return whether `source` names a repository of the Hugging Face Hub."""
    return not is_path(source) and not source.startswith(_REMOTE)


def hub_id(source: str) -> str:
    """Return `org/name` of a source on the Hub."""
    return source.removeprefix("hf://").removeprefix("datasets/")
