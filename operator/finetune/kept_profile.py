"""What a job keeps of its FineTuneProfile, for what the client does in a pod's place."""

from pydantic import ValidationError

from finetune.errors import Refused
from finetune.manifest import describe
from finetune.snapshot import Snapshot
from finetune_api.pod import PodSettings
from finetune_api.profile import Defaults, ProfileSettings
from finetune_api.profile_defaults import pod_with_defaults


def defaults_of(job: Snapshot) -> Defaults | None:
    """Return what the job's profile gives where the job does not say; None if it has no profile, or one that cannot be read."""
    applied = job.status.profile
    if applied is None:
        return None
    try:
        return ProfileSettings.model_validate_json(applied.settings, extra="ignore").defaults
    except ValidationError:
        return None


def pod_of(job: Snapshot) -> PodSettings:
    """Return `spec.pod` as the job's pods have it, with what its profile gives.

    Raises:
        Refused: It cannot be read.
    """
    try:
        own = PodSettings.model_validate(job.spec.get("pod") or {}, extra="ignore")
    except ValidationError as error:
        raise Refused(f"spec.pod of {job.name} cannot be read: {describe(error)}") from error
    defaults = defaults_of(job)
    return pod_with_defaults(own, defaults) if defaults else own
