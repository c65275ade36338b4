"""What the defaults of a FineTuneProfile make of fields of a FineTuneJob, for the operator and for who acts in a pod's place."""

from typing import Any, Final

from finetune_api.pod import PodSettings
from finetune_api.profile import Defaults
from finetune_api.quantity import at_most, parse_quantity
from finetune_api.volumes import Volume
from finetune_api.well_known import LABEL_QUEUE

_IDENTITY: Final = {"env": "name", "volumes": "name", "volume_mounts": "mount_path", "notify": "name"}
"""Of which only one may be in a list."""


def pod_with_defaults(own: PodSettings, defaults: Defaults) -> PodSettings:
    """Return the job's own fields over those of its profile: maps and lists have both, and anything else is the job's own if it has any."""
    merged: dict[str, Any] = {}
    for field in PodSettings.model_fields:
        mine, default = getattr(own, field), getattr(defaults, field)
        if isinstance(mine, dict):
            merged[field] = {**default, **mine}
        elif isinstance(mine, list):
            merged[field] = with_defaults(field, mine, default)
        else:
            merged[field] = default if mine is None else mine
    merged["volumes"] = [_within_sizes(volume, defaults) for volume in merged["volumes"]]
    if defaults.queue:
        merged["labels"] = {LABEL_QUEUE: defaults.queue, **merged["labels"]}
    return own.model_copy(update=merged)


def _within_sizes(volume: Volume, defaults: Defaults) -> Volume:
    """A volume of the pod's own disk or memory, held to the size that the profile gives to those that every pod has."""
    if volume.empty_dir is None:
        return volume
    most = defaults.shared_memory if volume.empty_dir.medium == "Memory" else defaults.scratch
    limit = most if parse_quantity(most) else None
    empty_dir = volume.empty_dir.model_copy(update={"size_limit": at_most(volume.empty_dir.size_limit, limit)})
    return volume.model_copy(update={"empty_dir": empty_dir})


def with_defaults(field: str, mine: list[Any], default: list[Any]) -> list[Any]:
    """Return a list of the job's own and those of its profile that these do not replace."""
    identity = _IDENTITY.get(field)
    if identity is None:
        return [*(each for each in default if each not in mine), *mine]
    taken = {getattr(each, identity) for each in mine}
    return [*(each for each in default if getattr(each, identity) not in taken), *mine]
