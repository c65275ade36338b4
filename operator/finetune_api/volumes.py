"""Volumes of the user's own, as on a Pod: where they come from, and where the trainer sees them.

The fields are those of https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume/, bounded in length.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.labels import ObjectName
from finetune_api.quantity import Quantity
from finetune_api.rules import Rule
from finetune_api.text import Pattern, Text

VolumeName: TypeAlias = Annotated[str, Field(min_length=1, max_length=50), Pattern(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
_Key: TypeAlias = Annotated[str, Field(min_length=1, max_length=253), Pattern(r"^[-._a-zA-Z0-9]+$")]
_UP: Final = r"(^|/)[.][.](/|$)"


class KeyToPath(ApiModel):
    """One key, and the file that it becomes."""

    key: _Key
    """The key."""
    path: Annotated[
        str,
        Text(
            pattern=r"^[^\s/][^\s]*$", message="must be a path in the volume, without '..'", max_length=256, forbid=_UP
        ),
    ]
    """Path of the file in the volume."""


class ConfigMapVolume(ApiModel):
    """A ConfigMap in the job's namespace: a file for each key."""

    name: ObjectName
    """Its name."""
    items: Annotated[list[KeyToPath], Field(max_length=32)] = []
    """Keys that become files; all of them if left out."""
    optional: bool | None = None
    """Whether the pod starts without it."""


class SecretVolume(ApiModel):
    """A Secret in the job's namespace: a file for each key."""

    secret_name: ObjectName
    """Its name."""
    items: Annotated[list[KeyToPath], Field(max_length=32)] = []
    """Keys that become files; all of them if left out."""
    optional: bool | None = None
    """Whether the pod starts without it."""


class ClaimVolume(ApiModel):
    """A PersistentVolumeClaim in the job's namespace."""

    claim_name: ObjectName
    """Its name."""
    read_only: bool | None = None
    """Whether it cannot be written to."""


class EmptyDirVolume(ApiModel):
    """A folder that begins empty and goes with the pod."""

    medium: Literal["Memory"] | None = None
    """Memory, rather than the node's disk; it counts as the pod's memory."""
    size_limit: Quantity | None = None
    """Most that it may hold; not more than the profile's scratch, or sharedMemory with medium Memory."""


class ImageVolume(ApiModel):
    """The files of a container image, read only."""

    reference: Annotated[str, Field(min_length=1, max_length=512), Pattern(r"^\S+$")]
    """The image."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When it is pulled."""


_SOURCES: Final = ("configMap", "secret", "persistentVolumeClaim", "emptyDir", "image")
_ONE_SOURCE: Final = Rule["Volume"](
    cel=f"[{', '.join(f'has(self.{name})' for name in _SOURCES)}].filter(given, given).size() == 1",
    holds=lambda self: sum(source is not None for source in self.sources) == 1,
    message=f"needs exactly one of {', '.join(_SOURCES)}",
)


class Volume(ApiModel):
    """A volume of the training pod: exactly one of these."""

    rules = (_ONE_SOURCE,)

    name: VolumeName
    """Name by which volumeMounts refer to it."""
    config_map: ConfigMapVolume | None = None
    """Files of a ConfigMap."""
    secret: SecretVolume | None = None
    """Files of a Secret."""
    persistent_volume_claim: ClaimVolume | None = None
    """A claim."""
    empty_dir: EmptyDirVolume | None = None
    """An empty folder."""
    image: ImageVolume | None = None
    """Files of an image."""

    @property
    def sources(self) -> tuple[ApiModel | None, ...]:
        """What it comes from; all but one are None."""
        return self.config_map, self.secret, self.persistent_volume_claim, self.empty_dir, self.image


class VolumeMount(ApiModel):
    """Where the trainer sees a volume."""

    name: VolumeName
    """Name of one of pod.volumes."""
    mount_path: Annotated[
        str,
        Text(
            # Elsewhere it could hide or replace a program of the image.
            pattern=r"^/(mnt|data)/[^\s:]*[^\s:/]$",
            message="must be a path below /mnt/ or /data/, without '..', and not below /mnt/volumes/, where claims of sources and output are",
            max_length=256,
            forbid=_UP + r"|^/mnt/volumes(/|$)|//",
        ),
    ]
    """Path in the container, below /mnt/ or /data/. A model or data set there has the source file:///mnt/…"""
    sub_path: Annotated[
        str,
        Text(pattern=r"^[^\s/][^\s]*$", message="must be a path in the volume, without '..'", max_length=256, forbid=_UP),
    ] | None = None  # fmt: skip
    """Path in the volume; all of it if left out."""
    read_only: bool | None = None
    """Whether it cannot be written to here."""
