"""The user's own volumes."""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec

_PREFIX = "pod-"
"""Keeps their names apart from those of our own volumes."""


def extra_volumes(spec: FineTuneJobSpec) -> list[JsonObject]:
    """The pod's volumes for `extra_mounts`."""
    return [{**volume.to_wire(), "name": _PREFIX + volume.name} for volume in spec.pod.volumes]


def extra_mounts(spec: FineTuneJobSpec) -> list[JsonObject]:
    """Where the container sees them."""
    return [{**mount.to_wire(), "name": _PREFIX + mount.name} for mount in spec.pod.volume_mounts]
