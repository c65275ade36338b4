"""What a job keeps of its FineTuneProfile, for what the client does in a pod's place."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from finetune.snapshot import Snapshot
from finetune_api.profile import Defaults, ProfileSettings


def defaults_of(job: Snapshot) -> Defaults | None:
    """Return what the job's profile gives where the job does not say; None if it has no profile, or one that cannot be read."""
    applied = job.status.profile
    if applied is None:
        return None
    try:
        return ProfileSettings.model_validate_json(applied.settings, extra="ignore").defaults
    except ValidationError:
        return None


def pod_field(job: Snapshot, name: str) -> Any:
    """Return a field of `spec.pod` as the job's pods have it: its own entries besides those of the profile, or its own alone where it is neither map nor list."""
    pod = job.spec.get("pod")
    own, defaults = (pod.get(name) if isinstance(pod, Mapping) else None), defaults_of(job)
    given = defaults.to_wire().get(name) if defaults else None
    if isinstance(own, dict) and isinstance(given, dict) and name in _MERGED:
        return {**given, **own}
    if isinstance(own, list) and isinstance(given, list):
        return [*(each for each in given if each not in own), *own]
    return given if own is None else own


_MERGED = ("nodeSelector",)
"""Maps of entries; any other object is one value."""
